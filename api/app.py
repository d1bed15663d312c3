"""The one place where everything is wired together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Scope

from api import audio, health, playground
from api.audio_links import AudioLinks
from api.auth import PREFLIGHTED, Doorkeeper
from api.context import Services
from api.endpoint import GraphQLEndpoint
from api.errors import TROUBLES, trouble_in_words
from api.finished_audio import FinishedAudio
from api.middleware import MAX_BODY, BodyLimit, RequestLog, SecurityHeaders, SendTimeout
from api.settings import Settings
from api.throttle import Throttle
from api.uploads import MAX_UPLOAD, Uploads, is_upload
from providers.manager import ProviderRegistry, load_providers
from studio.ports import Carrier
from studio.studio import DEFAULT_COUNTRIES, Studio, StudioSettings, open_studio
from telephony import webhooks
from telephony.carrier import TwilioCarrier
from telephony.settings import TelephonySettings

_GRAPHQL = "/graphql"


def create_app(
    settings: Settings,
    telephony: TelephonySettings,
    *,
    studio: Studio | None = None,
    providers: ProviderRegistry | None = None,
    carrier: Carrier | None = None,
    throttle: Throttle | None = None,
) -> FastAPI:
    """The application. What is given stays its giver's; everything else is made at start and closed at the end.

    Raises:
        SettingsError: there is no secret to sign with.
    """
    key = settings.signing_key()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            opened = studio
            if opened is None:
                opened = await stack.enter_async_context(_open_studio(settings, telephony, providers, carrier))
            finished = FinishedAudio(opened.speech, settings.data_dir)
            stack.callback(finished.close)
            _add_routes(app, settings, telephony, opened, AudioLinks(key, settings.public_base_url), finished, throttle)
            yield

    return FastAPI(
        title="Deadringer",
        lifespan=lifespan,
        openapi_url=None,
        exception_handlers=dict.fromkeys(TROUBLES, _unavailable),
        middleware=[
            Middleware(RequestLog),
            Middleware(SendTimeout),
            Middleware(SecurityHeaders, secure=settings.secure),
            *_cross_origin(settings),
            Middleware(BodyLimit, limit_of=_largest_body),
        ],
    )


@asynccontextmanager
async def _open_studio(
    settings: Settings,
    telephony: TelephonySettings,
    providers: ProviderRegistry | None,
    carrier: Carrier | None,
) -> AsyncIterator[Studio]:
    async with AsyncExitStack() as stack:
        if providers is None:
            providers = load_providers()
            stack.push_async_callback(providers.aclose)
        if carrier is None:
            carrier = await stack.enter_async_context(TwilioCarrier(telephony))
        yield await stack.enter_async_context(open_studio(studio_settings(settings), providers, carrier))


def studio_settings(settings: Settings) -> StudioSettings:
    """The part of the settings that the studio works by."""
    return StudioSettings(
        data_dir=settings.data_dir,
        database_url=settings.database_url,
        allowed_countries=settings.allowed_countries or DEFAULT_COUNTRIES,
        default_clone_provider=settings.default_clone_provider,
    )


def _add_routes(
    app: FastAPI,
    settings: Settings,
    telephony: TelephonySettings,
    studio: Studio,
    links: AudioLinks,
    finished: FinishedAudio,
    throttle: Throttle | None,
) -> None:
    origins = frozenset((settings.own_origin, *settings.allowed_origins))
    doorkeeper = Doorkeeper(studio.accounts, secure=settings.secure, origins=origins)
    throttle = throttle or Throttle()
    services = Services(studio, doorkeeper, throttle, links, Uploads(throttle))
    page = playground.Playground()
    endpoint = GraphQLEndpoint(services, page, origins)
    app.router.routes += [
        Route(_GRAPHQL, endpoint),
        WebSocketRoute(_GRAPHQL, endpoint),
        Route(f"{playground.PREFIX}/{{name}}", page.file),
    ]
    app.include_router(audio.router(studio, links, finished))
    app.include_router(webhooks.router(studio, telephony))
    app.include_router(health.router(studio))


def _largest_body(scope: Scope) -> int:
    """Bytes: files come to one address alone."""
    upload = scope["path"] == _GRAPHQL and is_upload(scope["method"], Headers(scope=scope))
    return MAX_UPLOAD if upload else MAX_BODY


async def _unavailable(request: Request, trouble: Exception) -> Response:
    _, words = trouble_in_words(trouble)
    return JSONResponse({"detail": words}, 503)


def _cross_origin(settings: Settings) -> list[Middleware]:
    """Leave for other sites' pages to read answers, where the operator gave it."""
    if not settings.allowed_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(settings.allowed_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", *PREFLIGHTED],
            allow_credentials=True,
            expose_headers=["X-Request-ID"],
            max_age=3600,
        )
    ]
