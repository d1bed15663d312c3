"""Voices: those that providers bring, and those that were cloned."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from api.context import Info
from api.schema.errors import Payload, mutation
from api.schema.fields import field
from api.schema.nodes import After, Connection, First, Node, connection, global_id, key_of, size
from api.schema.providers import Provider, provider_named
from api.schema.scalars import describe, given
from providers.contract import Capability
from studio.voices import VoiceOrigin, VoiceView

if TYPE_CHECKING:
    from api.schema.clones import Clone

describe(
    VoiceOrigin,
    name="VoiceOrigin",
    description="Where a voice comes from.",
    BUILT_IN="It came with its provider.",
    CLONED="It was cloned from a person who agreed to it.",
)


@strawberry.type(description="A voice that text can be spoken in.")
class Voice(Node):
    name: str = strawberry.field(description="Its name for people.")
    origin: VoiceOrigin = strawberry.field(description="Where it comes from.")
    language: str | None = strawberry.field(description="The language that it speaks best (BCP 47), where known.")
    tags: list[str] = strawberry.field(description='Expressive tags that its text may contain, e.g. "<laugh>".')
    sample_url: str | None = strawberry.field(description="Where a sample of it can be heard.")
    similarity: float | None = strawberry.field(
        description="Measured likeness to the recording, 0 to 1, where an encoder is installed."
    )
    notes: list[str] = strawberry.field(description="What its provider has to say about it, in words for its owner.")
    created_at: datetime | None = strawberry.field(description="When it was cloned.")
    view: strawberry.Private[VoiceView]
    owner: strawberry.Private[str]

    @field("Who speaks it.")
    def provider(self, info: Info) -> Provider:
        return provider_named(info, self.view.provider)

    @field("How it was cloned; null for a built-in voice.")
    async def clone(self, info: Info) -> Annotated[Clone, strawberry.lazy("api.schema.clones")] | None:
        from api.schema.clones import Clone

        if self.view.clone_id is None:
            return None
        row = await info.context.loaders(self.owner).clones.load(self.view.clone_id)
        return Clone.of(row) if row is not None else None

    @classmethod
    def of(cls, view: VoiceView, owner: str) -> Voice:
        """`owner` is who sees it."""
        return cls(
            id=global_id("Voice", view.key),
            name=view.name,
            origin=view.origin,
            language=view.language,
            tags=list(view.tags),
            sample_url=view.sample_url,
            similarity=view.similarity,
            notes=list(view.notes),
            created_at=view.created_at,
            view=view,
            owner=owner,
        )


VoiceConnection = Connection[Voice]


async def find_voice(info: Info, owner: str, key: str) -> Voice | None:
    view = await info.context.studio.voices.find(owner, key)
    return Voice.of(view, owner) if view is not None else None


@strawberry.type
class VoiceQueries:
    @field("The viewer's cloned voices, newest first, then the built-in ones.")
    async def voices(
        self,
        info: Info,
        capability: Annotated[
            Capability | None, strawberry.argument(description="Only of providers that can do this.")
        ] = strawberry.UNSET,
        provider: Annotated[
            str | None, strawberry.argument(description="Only of the provider of this name.")
        ] = strawberry.UNSET,
        first: First = 50,
        after: After = strawberry.UNSET,
    ) -> VoiceConnection:
        owner = await info.context.owner()
        page = await info.context.studio.voices.page(
            owner.id, given(capability), given(provider), size(first, 50), given(after)
        )
        return connection(page, lambda view: Voice.of(view, owner.id))


@strawberry.input(description="Another name for a cloned voice.")
class RenameVoiceInput:
    id: strawberry.ID = strawberry.field(description="The voice's id.")
    name: str = strawberry.field(description="1 to 80 characters.")


@strawberry.input(description="Which voice to delete.")
class DeleteVoiceInput:
    id: strawberry.ID = strawberry.field(description="The voice's id.")


@strawberry.type(description="The answer to `renameVoice`.")
class RenameVoicePayload(Payload):
    voice: Voice | None = strawberry.field(default=None, description="The voice as it is now.")


@strawberry.type(description="The answer to `deleteVoice`.")
class DeleteVoicePayload(Payload):
    deleted_id: strawberry.ID | None = strawberry.field(default=None, description="The id of the voice that is gone.")


@strawberry.type
class VoiceMutations:
    @mutation(RenameVoicePayload, "Give a cloned voice another name.")
    async def rename_voice(self, info: Info, input: RenameVoiceInput) -> RenameVoicePayload:
        owner = await info.context.owner()
        view = await info.context.studio.voices.rename(owner.id, key_of("Voice", input.id), input.name)
        return RenameVoicePayload(voice=Voice.of(view, owner.id))

    @mutation(
        DeleteVoicePayload,
        "Delete a cloned voice, here and at its provider, and the recording that it was made from, "
        "here and at the carrier.",
    )
    async def delete_voice(self, info: Info, input: DeleteVoiceInput) -> DeleteVoicePayload:
        owner = await info.context.owner()
        await info.context.studio.voices.delete(owner.id, key_of("Voice", input.id))
        return DeleteVoicePayload(deleted_id=input.id)
