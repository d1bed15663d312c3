"""Step by step, for an operator: does the account do what is needed? Nothing here is paid for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from providers.contract import Check, ProviderError
from providers.elevenlabs.account import Account
from providers.elevenlabs.connection import REPEATABLE, Connection
from providers.elevenlabs.errors import NO_CLONING
from providers.elevenlabs.listing import listed
from providers.elevenlabs.models import QUALITY, QUICK
from providers.elevenlabs.settings import MISSING_KEY


async def examined(connection: Connection, account: Account) -> AsyncIterator[Check]:
    if not connection.configured:
        yield Check("key", False, MISSING_KEY)
        return
    account.forget()
    try:
        allowed = await account.allowances()
    except ProviderError as trouble:
        yield Check("account", False, str(trouble))
        return
    yield Check("key", True, f"accepted; the account's plan is {allowed.plan}")
    yield Check("cloning", allowed.cloning, "in the plan" if allowed.cloning else NO_CLONING)
    for quota, hint in (
        (allowed.slots, "Delete voices, or choose a larger plan."),
        (allowed.additions, "Wait for the next month, or choose a larger plan."),
        (allowed.credits, "They come back with the next month; more can be had under elevenlabs.io/app/subscription."),
    ):
        if quota is not None:
            left = quota.used < quota.limit
            words = f"{quota.used} of {quota.limit} used"
            yield Check(quota.what, left, words if left else f"{words}. {hint}")
    yield await _asked("voices", lambda: _voices(connection))
    yield await _asked("models", lambda: _models(connection))


async def _asked(what: str, question: Callable[[], Awaitable[Check]]) -> Check:
    try:
        return await question()
    except ProviderError as trouble:
        return Check(what, False, str(trouble))


async def _voices(connection: Connection) -> Check:
    cloned = len(await listed(connection, category="cloned"))
    return Check("voices", True, f"can be listed; the account has {cloned} cloned ones")


async def _models(connection: Connection) -> Check:
    async with connection.asking() as sdk:
        models = await sdk.models.list(request_options=REPEATABLE)
    able = {getattr(model, "model_id", None) for model in models if getattr(model, "can_do_text_to_speech", False)}
    missing = [model.id for model in (QUALITY, QUICK) if model.id not in able]
    if missing:
        return Check("models", False, f"The account cannot speak with {' and '.join(missing)}.")
    words = f"{QUALITY.id} and {QUICK.id}; whether the key may speak (text_to_speech) shows only when it does"
    return Check("models", True, words)
