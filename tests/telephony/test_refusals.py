"""Why there is no call: what Twilio says at once, or later on, in words that say what to do and where."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from studio.mistakes import FailureCode
from studio.ports import CallOrder, CallRefused, Carrier
from studio.states import CallPurpose, CallStatus
from telephony.carrier import TwilioCarrier
from tests.telephony.calls import CallUnderTest, telephony_settings
from tests.telephony.standin import StandIn, json_reply, refusal, stand_in

ACCOUNT, NUMBER, BUSY = FailureCode.CARRIER_ACCOUNT, FailureCode.NUMBER_NOT_CALLABLE, FailureCode.CARRIER_BUSY
ORDER = CallOrder(call_id="f" * 32, phone="+14155552671", purpose=CallPurpose.CLONE)


@pytest.fixture
async def twilio() -> AsyncIterator[StandIn]:
    async with stand_in() as service:
        yield service


@pytest.fixture
async def carrier(twilio: StandIn) -> AsyncIterator[TwilioCarrier]:
    async with TwilioCarrier(telephony_settings(twilio_api_url=twilio.url)) as carrier:
        yield carrier


@pytest.mark.parametrize(
    ("status", "code", "expected", "words"),
    [
        (401, 20003, ACCOUNT, "TWILIO_AUTH_TOKEN"),
        (404, 20404, ACCOUNT, "TWILIO_ACCOUNT_SID"),
        (403, 20005, ACCOUNT, "balance"),
        (403, 20403, ACCOUNT, "not active"),
        (401, 10001, ACCOUNT, "not active"),
        (400, 90010, ACCOUNT, "not active"),
        (403, 10005, ACCOUNT, "Twilio's support"),
        (400, 10002, ACCOUNT, "Upgrade"),
        (400, 21219, ACCOUNT, "Verify this one"),
        (400, 21215, ACCOUNT, "Geo permissions"),
        (403, 13227, ACCOUNT, "Geo permissions"),
        (400, 21203, ACCOUNT, "Geo permissions"),
        (400, 21210, ACCOUNT, "Verified caller IDs"),
        (400, 21212, ACCOUNT, "TWILIO_CALLER_ID"),
        (400, 21205, ACCOUNT, "PUBLIC_BASE_URL"),
        (400, 21609, ACCOUNT, "PUBLIC_BASE_URL"),
        (400, 21211, NUMBER, "Check its digits"),
        (400, 21217, NUMBER, "Check its digits"),
        (400, 13224, NUMBER, "Check its digits"),
        (400, 21214, NUMBER, "another phone"),
        (400, 21202, NUMBER, "costs extra"),
        (403, 21216, NUMBER, "Trust Hub"),
        (400, 10004, BUSY, "Trust Hub"),
        (429, 20429, BUSY, "Try again"),
        (429, 0, BUSY, "Try again"),
        (400, 22005, BUSY, "Try again later"),
    ],
)
async def test_a_refusal_says_what_to_do(
    twilio: StandIn, carrier: Carrier, status: int, code: int, expected: FailureCode, words: str
) -> None:
    twilio.reply(refusal(status, code))
    with pytest.raises(CallRefused, match=words) as refused:
        await carrier.place_call(ORDER)
    assert refused.value.code == expected
    assert refused.value.retryable is (expected is BUSY)
    assert len(twilio.received) == 1


async def test_an_unheard_of_refusal_is_told_in_twilios_words_without_the_number(
    twilio: StandIn, carrier: Carrier
) -> None:
    twilio.reply(refusal(400, 21999, "The number +14155552671 is on the moon"))
    with pytest.raises(CallRefused, match=r"is on the moon.*21999") as refused:
        await carrier.place_call(ORDER)
    assert refused.value.code == FailureCode.CALL_REFUSED
    assert "+14155552671" not in str(refused.value)
    assert "2671" in str(refused.value)


async def test_a_problem_document_is_understood_too(twilio: StandIn, carrier: Carrier) -> None:
    twilio.reply(json_reply(400, type="https://…/21211", title="Invalid To", status=400, code=21211))
    with pytest.raises(CallRefused, match="Check its digits"):
        await carrier.place_call(ORDER)


# ── of calls that Twilio had accepted ────────────────────────────────────────


@pytest.mark.parametrize(
    ("form", "expected", "words"),
    [
        ({"ErrorCode": "13227"}, ACCOUNT, "Geo permissions"),
        ({"ErrorCode": "13224", "SipResponseCode": "503"}, NUMBER, "Check its digits"),
        ({"ErrorCode": "10004"}, BUSY, "Trust Hub"),
        ({"ErrorCode": "39999", "ErrorMessage": "No route to +14155552671"}, FailureCode.CALL_FAILED, "No route to"),
        ({"ErrorCode": "39999"}, FailureCode.CALL_FAILED, "39999"),
        ({"SipResponseCode": "404"}, NUMBER, "SIP 404"),
        ({"SipResponseCode": "503"}, FailureCode.CALL_FAILED, "SIP 503"),
        ({"SipResponseCode": "200"}, FailureCode.CALL_FAILED, "put through"),
        ({"ErrorCode": "", "SipResponseCode": "none"}, FailureCode.CALL_FAILED, "put through"),
        ({"ErrorCode": "9" * 400, "ErrorMessage": "x" * 4000}, FailureCode.CALL_FAILED, "put through"),
        ({}, FailureCode.CALL_FAILED, "put through"),
    ],
)
async def test_a_call_that_fails_later_says_why(
    call: CallUnderTest, form: dict[str, str], expected: FailureCode, words: str
) -> None:
    assert (await call.report("failed", **form)).status_code == 204
    row = await call.call()
    assert (row.status, row.failure_code) == (CallStatus.FAILED, expected)
    assert words in str(row.failure_message)
    assert "+14155552671" not in str(row.failure_message)


async def test_the_reason_may_come_after_the_end(call: CallUnderTest) -> None:
    """The workflow asks for the status of a call of which nothing is heard: Twilio then says that, but not why."""
    async with call.studio.database.transaction() as unit:
        await call.studio.desk.call_status(unit, call.call_id, call.sid, CallStatus.FAILED)
    await call.report("failed", ErrorCode="13227")
    assert (await call.call()).failure_code == ACCOUNT


@pytest.mark.parametrize("status", ["completed", "busy", "no-answer", "canceled"])
async def test_only_what_failed_is_explained(call: CallUnderTest, status: str) -> None:
    await call.report(status, ErrorCode="13227", SipResponseCode="486")
    assert (await call.call()).failure_code in (None, status.replace("-", "_"))
