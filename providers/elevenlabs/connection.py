"""The official SDK, with an HTTP client of ours under it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import httpx

from providers.contract import NotConfigured
from providers.elevenlabs.errors import TROUBLES, explained
from providers.elevenlabs.settings import MISSING_KEY, ElevenLabsSettings

# It takes 0.3 s of a processor to import, more than all the rest of a provider: not when the service starts.
if TYPE_CHECKING:
    from elevenlabs.client import AsyncElevenLabs

_SILENCE_SECONDS = 30.0  # how long a connection may stay silent
_CONNECTIONS = 40

# What may be asked again without harm is asked twice at most: the SDK repeats after 408, 409, 429 and 5xx. A repeated
# POST of a form would go out without its fields (2.78), so no POST is ever repeated by it.
REPEATABLE: Final[Any] = {"max_retries": 1, "timeout_in_seconds": 10}
ONCE: Final[Any] = {"max_retries": 0}
_QUESTION_SECONDS = 25.0


class Connection:
    """The SDK's client, made when it is first needed. The key is that of the settings, nobody's environment's."""

    def __init__(self, settings: ElevenLabsSettings) -> None:
        self._settings = settings
        self._making = asyncio.Lock()
        self._http: httpx.AsyncClient | None = None
        self._sdk: AsyncElevenLabs | None = None

    @property
    def configured(self) -> bool:
        return self._settings.api_key is not None

    async def sdk(self) -> AsyncElevenLabs:
        """
        Raises:
            NotConfigured: there is no key.
        """
        if self._settings.api_key is None:
            raise NotConfigured(MISSING_KEY)
        async with self._making:
            if self._sdk is None:
                self._sdk = await asyncio.to_thread(self._made, self._settings.api_key.get_secret_value())
            return self._sdk

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[AsyncElevenLabs]:
        """For a question that is answered soon and spends nothing.

        Raises:
            ProviderError: whatever goes wrong.
        """
        sdk = await self.sdk()
        async with within(_QUESTION_SECONDS):
            yield sdk

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    def _made(self, key: str) -> AsyncElevenLabs:
        from elevenlabs.client import AsyncElevenLabs

        self._http = httpx.AsyncClient(
            timeout=_SILENCE_SECONDS,
            limits=httpx.Limits(max_connections=_CONNECTIONS),
            # A proxy that the environment names is for the world outside, not for a stand-in on this machine.
            mounts={"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None},
        )
        sdk = AsyncElevenLabs(
            base_url=str(self._settings.api_url).rstrip("/"),
            api_key=key,
            timeout=_SILENCE_SECONDS,
            httpx_client=self._http,
        )
        # They import their parts when they are first touched, too.
        _ = sdk.voices.ivc, sdk.text_to_speech, sdk.user.subscription, sdk.models
        return sdk


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Bounds the time of what is inside.

    Raises:
        ProviderError: that was not enough, or something else went wrong.
    """
    with in_words():
        async with asyncio.timeout(seconds):
            yield


@contextmanager
def in_words() -> Iterator[None]:
    """Says in the contract's words what goes wrong between the SDK and ElevenLabs.

    Raises:
        ProviderError
    """
    try:
        yield
    except TROUBLES as problem:
        raise explained(problem) from None  # its text holds the raw answer
