"""Whether calls can be placed with what is configured: Twilio is asked, live, by its SDK, and nothing is spent.

Only resources that are free are read: the account, its balance, its numbers, and the countries that it may call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any

from twilio.base.exceptions import TwilioException
from twilio.rest import Client

from telephony.public_address import Check, check_address
from telephony.refusals import details
from telephony.rest import NotSent, RestClient
from telephony.settings import TelephonySettings

_AT_ONCE = 5
"""Questions about countries: far fewer than Twilio takes."""
_CLOCK_SECONDS = 60.0
_UNREACHABLE = "Twilio cannot be reached from here. Check this machine's network, and TWILIO_API_URL if it is set."
_NONSENSE = "What answered is not Twilio's API, or answered too slowly. Try again; check TWILIO_API_URL if it is set."
_CREDENTIALS = (
    "Twilio does not accept the credentials. Copy TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN anew from the Twilio "
    "console, Account Dashboard, Account Info: the primary auth token, not an API key."
)
_SUSPENDED = "The account is suspended, and places no calls. The Twilio console says why; often its balance is used up."
_CLOSED = "The account is closed. Use the credentials of another one."
_INACTIVE = "The account is not active. The Twilio console says why."
_TRIAL = (
    "Active, on trial: it calls only numbers that are verified for it (Twilio console, Phone Numbers, Manage, Verified "
    "Caller IDs), and says a sentence of its own first. Upgrade it to call anybody."
)
_MUTE = "It cannot place voice calls. Buy a number with voice: Twilio console, Phone Numbers, Manage, Buy a number."
_NOT_OURS = (
    "It is neither a number of this account nor verified for it. Set TWILIO_CALLER_ID to one of those in the Twilio "
    "console, Phone Numbers, Manage, Active numbers; or verify it under Verified Caller IDs."
)


class _Unanswered(Exception):
    """Why a question has no answer; the message says what to do. `status` is HTTP's, if there was one."""

    def __init__(self, words: str, status: int | None = None) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True)
class _Account:
    checks: Sequence[Check]
    usable: bool = False
    pays: bool = False
    """Itself, and not its parent."""


async def examine(
    settings: TelephonySettings, countries: Sequence[str], *, seconds: float = 5.0
) -> AsyncIterator[Check]:
    """What is found, one thing after the other; nothing if there are no credentials.

    `countries` are those that may be called, as ISO 3166-1 codes. A request takes at most `seconds`, and all together
    three times as long. Raises nothing: what goes wrong is a finding. What `settings.problem` says is not repeated.
    """
    sid, token, caller = settings.twilio_account_sid, settings.twilio_auth_token, settings.twilio_caller_id
    if sid is None or token is None or caller is None:
        return
    async with aclosing(RestClient(settings.twilio_api_url, seconds)) as rest:
        client = Client(sid, token.get_secret_value(), http_client=rest)
        account, address = await asyncio.gather(_account(client, sid), _address(settings, seconds))
        for check in account.checks:
            yield check
        if account.usable:
            for check in await asyncio.gather(
                _balance(client, account.pays), _caller_id(client, caller), _countries(client, countries, 2 * seconds)
            ):
                yield check
        for check in address:
            yield check


async def _account(client: Client, sid: str) -> _Account:
    what = "Twilio account"
    try:
        answer = await _asked(client.api.accounts(sid).fetch_with_http_info_async())
    except _Unanswered as problem:
        return _Account([Check(what, False, str(problem))])
    account, clock = answer.data, _clock(answer.headers)
    match str(account.status), str(account.type):
        case "active", "Trial":
            found = Check(what, None, _TRIAL)
        case "active", _:
            found = Check(what, True, "active")
        case "suspended", _:
            found = Check(what, False, _SUSPENDED)
        case "closed", _:
            found = Check(what, False, _CLOSED)
        case _:
            return _Account([Check(what, False, _NONSENSE)])
    pays = account.owner_account_sid in (None, sid)
    return _Account([found, *clock], usable=found.good is not False, pays=pays)


def _clock(headers: Mapping[str, str]) -> Sequence[Check]:
    """Signatures do not depend on it. Links that expire do, and the times of calls."""
    try:
        theirs = parsedate_to_datetime(headers.get("date", ""))
        ahead = (datetime.now(UTC) - theirs).total_seconds()
    except (TypeError, ValueError):
        return []
    if abs(ahead) <= _CLOCK_SECONDS:
        return [Check("Clock", True, "agrees with Twilio's")]
    direction = "ahead of" if ahead > 0 else "behind"
    words = f"{abs(ahead):.0f} s {direction} Twilio's: set it by NTP, or links expire too early or too late"
    return [Check("Clock", None, words)]


async def _balance(client: Client, pays: bool) -> Check:
    what = "Twilio balance"
    if not pays:
        return Check(what, True, "this is a subaccount: its parent pays")
    try:
        balance = await _asked(client.balance.fetch_async())
        amount = Decimal(str(balance.balance))
    except (_Unanswered, InvalidOperation):
        return Check(what, None, "not told. See the Twilio console, Billing.")
    words = f"{amount:f} {balance.currency}"
    if amount > 0:
        return Check(what, True, words)
    return Check(what, None, f"{words}. An account that is not billed later needs more: Twilio console, Billing.")


async def _caller_id(client: Client, number: str) -> Check:
    what = "TWILIO_CALLER_ID"
    try:
        # Twilio also lists numbers that only contain this one.
        owned = await _asked(client.incoming_phone_numbers.list_async(phone_number=number, limit=20))
        for each in owned:
            if each.phone_number == number:
                speaks = isinstance(each.capabilities, Mapping) and each.capabilities.get("voice") is True
                return Check(what, speaks, "a number of this account, with voice" if speaks else _MUTE)
        verified = await _asked(client.outgoing_caller_ids.list_async(phone_number=number, limit=20))
    except _Unanswered as problem:
        return Check(what, False, str(problem))
    if any(each.phone_number == number for each in verified):
        return Check(what, True, "verified for this account")
    return Check(what, False, _NOT_OURS)


async def _countries(client: Client, countries: Sequence[str], within: float) -> Check:
    what = "Countries"
    gate = asyncio.Semaphore(_AT_ONCE)

    async def is_open(country: str) -> bool:
        async with gate:
            fetching = client.voice.v1.dialing_permissions.countries(country).fetch_async()
            return (await _asked(fetching)).low_risk_numbers_enabled is True

    try:
        async with asyncio.timeout(within):
            answers = await asyncio.gather(*map(is_open, countries), return_exceptions=True)
    except TimeoutError:
        return Check(what, None, f"Whether they may be called was not told in time. {_NONSENSE}")
    closed, unknown = [], []
    for country, answer in zip(countries, answers, strict=True):
        if answer is False:
            closed.append(country)
        elif isinstance(answer, _Unanswered) and answer.status == 404:
            unknown.append(country)
        elif isinstance(answer, BaseException):
            return Check(what, None, f"Whether they may be called is not known. {answer}")
    if unknown:
        return Check(what, False, f"Twilio knows no country {', '.join(unknown)}: mend ALLOWED_COUNTRIES.")
    if not closed:
        return Check(what, True, f"the account may call each of the {len(countries)} in ALLOWED_COUNTRIES")
    words = (
        f"The Twilio account may not call {', '.join(closed)}. Open them in the Twilio console, Voice, Settings, Geo "
        "permissions, or leave them out of ALLOWED_COUNTRIES."
    )
    return Check(what, False if len(closed) == len(countries) else None, words)


async def _address(settings: TelephonySettings, seconds: float) -> Sequence[Check]:
    return [] if settings.problem() else [await check_address(settings, seconds)]


async def _asked(question: Awaitable[Any]) -> Any:
    """
    Raises:
        _Unanswered
    """
    try:
        return await question
    except NotSent as error:
        raise _Unanswered(_UNREACHABLE) from error
    except TwilioException as error:
        status, code, _ = details(error)
        raise _Unanswered(_refusal(status, code), status) from error
    except Exception as error:  # no answer, or one that the SDK, which trusts every field, stumbles over
        raise _Unanswered(_NONSENSE) from error


def _refusal(status: int | None, code: int) -> str:
    match status, code:
        case _, 10001 | 20005 | 20403 | 90010:
            return _INACTIVE
        case 401, _:
            return _CREDENTIALS
        case 403, _:
            return "The credentials may not read this at Twilio. See the Twilio console."
        case 404, _:
            return f"Twilio does not know it. {_CREDENTIALS}"
        case 429, _:
            return "Twilio was asked too much at once. Try again in a minute."
        case None, _:
            return _NONSENSE
    return f"Twilio answered with HTTP status {status}. Try again; its status is at status.twilio.com."
