"""`deadringer serve`: the service, with the local exchange beside it where that is wanted."""

from __future__ import annotations

import gc
import sys
from contextlib import AsyncExitStack

import uvicorn

from api.app import create_app
from api.server import uvicorn_options
from api.settings import Settings, read_settings
from deadringer.exchange import CALLER_ID, is_loopback, local_exchange
from telephony.settings import TelephonySettings


async def serve(settings: Settings, *, exchange: bool | None, exchange_port: int) -> None:
    """Serve until interrupted.

    `exchange`: whether calls go through the local exchange; None means yes if there are no Twilio credentials and the
    service listens on loopback only.

    Raises:
        SettingsError, ExchangeError
    """
    telephony = read_settings(TelephonySettings, public_base_url=settings.public_base_url)
    if exchange is None:
        exchange = telephony.twilio_account_sid is None and is_loopback(settings.host)
    async with AsyncExitStack() as stack:
        if exchange:
            account = await stack.enter_async_context(
                local_exchange(settings.data_dir, exchange_port, settings.signing_key())
            )
            telephony = read_settings(
                TelephonySettings,
                public_base_url=settings.public_base_url,
                twilio_account_sid=account.account_sid,
                twilio_auth_token=account.auth_token,
                twilio_caller_id=CALLER_ID,
                twilio_api_url=account.url,
            )
            print(
                f"A phone exchange: {account.url}. To be one of its phones: {_command()} phone +14155552671", flush=True
            )
        print(f"The playground: {settings.public_base_url}/graphql", flush=True)
        app = create_app(settings, telephony)
        # What there is by now stays. A full collection would look through it all, for 0.1 s, with everybody waiting.
        gc.freeze()
        await uvicorn.Server(uvicorn.Config(app, **uvicorn_options(settings))).serve()


def _command() -> str:
    """This command, as it was typed."""
    return sys.argv[0] if sys.argv[0].endswith("deadringer") else "deadringer"
