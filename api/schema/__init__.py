"""The GraphQL schema: one module per domain, put together here."""

from __future__ import annotations

import strawberry
from strawberry.schema.config import StrawberryConfig

from api.context import Info
from api.limits import EXTENSIONS
from api.schema.calls import CallMutations, CallQueries, CallSubscriptions, find_call
from api.schema.clones import CloneMutations, CloneQueries, CloneSubscriptions, find_clone
from api.schema.fields import field
from api.schema.nodes import Node, parse_id
from api.schema.providers import ProviderQueries
from api.schema.scalars import SCALARS
from api.schema.syntheses import (
    SpeechChunk,
    SynthesisMutations,
    SynthesisProgress,
    SynthesisQueries,
    SynthesisSubscriptions,
    find_synthesis,
)
from api.schema.users import UserMutations, UserQueries, find_token, find_user
from api.schema.voices import VoiceMutations, VoiceQueries, find_voice

_FINDERS = {
    "ApiToken": find_token,
    "Call": find_call,
    "Clone": find_clone,
    "Synthesis": find_synthesis,
    "User": find_user,
    "Voice": find_voice,
}


@strawberry.type(description="What can be read.")
class Query(UserQueries, ProviderQueries, VoiceQueries, CloneQueries, CallQueries, SynthesisQueries):
    @field("Anything of the viewer's, by its id.")
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        owner = await info.context.owner()
        kind, key = parse_id(id)
        find = _FINDERS.get(kind)
        return await find(info, owner.id, key) if find is not None else None


@strawberry.type(description="What can be done. What the caller can mend is in `userErrors`.")
class Mutation(UserMutations, CloneMutations, VoiceMutations, CallMutations, SynthesisMutations):
    pass


@strawberry.type(description="What can be followed.")
class Subscription(CloneSubscriptions, CallSubscriptions, SynthesisSubscriptions):
    pass


class Schema(strawberry.Schema):
    def process_errors(self, errors: object, execution_context: object = None) -> None:
        """Errors are logged by `ErrorsForClients`, and only those that are our own: others may quote passwords."""


schema = Schema(
    Query,
    Mutation,
    Subscription,
    types=[SpeechChunk, SynthesisProgress],
    extensions=EXTENSIONS,
    config=StrawberryConfig(scalar_map=SCALARS),
)
