"""Model providers: which there are, what each can do, and whether it can do it now."""

from __future__ import annotations

import asyncio
from typing import Final

import strawberry
import structlog

from api.context import Info
from api.schema.fields import field
from api.schema.scalars import describe
from providers import contract
from providers.contract import Capability, Cloner, Health, ProviderError, capabilities_of

_ANSWER_SECONDS: Final = 5.0
_log = structlog.get_logger()

describe(
    Capability,
    name="Capability",
    description="Something that a provider can do.",
    CLONE="Make a voice from a recording of a person.",
    SYNTHESIZE="Speak text.",
    CONVERSE="Hold a conversation, speech to speech.",
    TRANSCRIBE="Write down what was said.",
    RESPOND="Answer in a chat.",
)


@strawberry.type(description="How much of an allowance is used.")
class Quota:
    used: int = strawberry.field(description="How many are used.")
    limit: int = strawberry.field(description="How many there may be.")
    what: str = strawberry.field(description='Of what, e.g. "voice slots".')


@strawberry.type(description="A plugin that speaks, clones, converses, transcribes or responds.")
class Provider:
    name: str = strawberry.field(description='Its stable key, e.g. "local".')
    title: str = strawberry.field(description="Its name for people.")
    version: str = strawberry.field(description="The version of the plugin.")
    capabilities: list[Capability] = strawberry.field(description="What it can do.")
    provider: strawberry.Private[contract.Provider | None]
    trouble: strawberry.Private[str | None] = None

    @field("Whether it is installed, configured and healthy now.")
    async def available(self) -> bool:
        return (await self._health()).available

    @field("What to set or start first, in words that a user can act on.")
    async def unavailable_reason(self) -> str | None:
        return (await self._health()).reason

    @field("An allowance for cloned voices, where there is one.")
    async def quota(self) -> Quota | None:
        if not isinstance(self.provider, Cloner):
            return None
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                quota = await self.provider.clone_quota()
        except (ProviderError, TimeoutError):
            return None  # it cannot be asked now: `available` and `unavailableReason` say why
        return Quota(used=quota.used, limit=quota.limit, what=quota.what) if quota else None

    async def _health(self) -> Health:
        if self.provider is None:
            return Health(False, self.trouble)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self.provider.health()
        except Exception:
            # A stranger's plugin must not take the list of all providers with it.
            _log.exception("provider.health_failed", provider=self.name)
            return Health(False, "It does not say how it is; the server's log has the reason.")

    @classmethod
    def of(cls, provider: contract.Provider) -> Provider:
        capabilities = sorted(capabilities_of(provider), key=list(Capability).index)
        return cls(
            name=provider.name,
            title=provider.title,
            version=provider.version,
            capabilities=capabilities,
            provider=provider,
        )

    @classmethod
    def missing(cls, name: str, trouble: str) -> Provider:
        return cls(name=name, title=name, version="", capabilities=[], provider=None, trouble=trouble)


def provider_named(info: Info, name: str) -> Provider:
    """The provider of a voice or clone, which may no longer be installed."""
    provider = info.context.studio.providers.get(name)
    if provider is None:
        return Provider.missing(name, f"The provider {name!r} is not installed any more.")
    return Provider.of(provider)


@strawberry.type
class ProviderQueries:
    @field("All providers; those that failed to load say why.")
    def providers(self, info: Info) -> list[Provider]:
        registry = info.context.studio.providers
        return [
            *(Provider.of(provider) for provider in registry.providers.values()),
            *(Provider.missing(plugin.name, f"It failed to load: {plugin.reason}") for plugin in registry.broken),
        ]
