"""All documented errors, as they come over the wire, in the words of the contract."""

from __future__ import annotations

import logging

import pytest
from structlog.testing import capture_logs

from providers.contract import (
    AtCapacity,
    CloneRequest,
    Gone,
    NotConfigured,
    ProviderError,
    QuotaExceeded,
    Refused,
    SpeechRequest,
    Transient,
)
from providers.elevenlabs.provider import ElevenLabsProvider
from tests.providers.elevenlabs.acts import Act, body, error
from tests.providers.elevenlabs.conftest import MakeProvider
from tests.providers.elevenlabs.standin import KEY, PREMADE, StandIn

MISSING = "The API key you used is missing the permission user_read to execute this operation."

# Status, code, what it becomes, and what its words have to say.
DOCUMENTED: list[tuple[int, str, type[ProviderError], str]] = [
    (400, "invalid_parameters", Refused, "refused"),
    (400, "missing_required_field", Refused, "refused"),
    (400, "invalid_voice_settings", Refused, "refused"),
    (400, "invalid_voice_id", Refused, "refused"),
    (400, "bad_request", Refused, "refused"),
    (400, "malformed_json", Refused, "refused"),
    (400, "invalid_content_type", Refused, "refused"),
    (400, "invalid_page_size", Refused, "refused"),
    (400, "invalid_output_format", Refused, "refused"),
    (400, "text_too_long", Refused, "Shorten"),
    (400, "max_character_limit_exceeded", Refused, "Shorten"),
    (400, "text_too_short", Refused, "Change"),
    (400, "invalid_text", Refused, "Change"),
    (400, "empty_text", Refused, "Change"),
    (400, "unsupported_model", Refused, "doctor"),
    (404, "model_not_found", Refused, "doctor"),
    (403, "model_access_denied", Refused, "doctor"),
    (400, "invalid_audio", Refused, "quiet place"),
    (400, "invalid_audio_format", Refused, "recording"),
    (400, "invalid_file_type", Refused, "recording"),
    (400, "audio_too_long", Refused, "recording"),
    (400, "request_too_large", Refused, "recording"),
    (400, "audio_too_short", Refused, "keep talking"),
    (400, "voice_limit_reached", QuotaExceeded, "slots"),
    (400, "voice_add_edit_limit_reached", QuotaExceeded, "month"),
    (403, "voice_add_edit_limit_reached", QuotaExceeded, "month"),
    (400, "can_not_use_instant_voice_cloning", Refused, "Starter"),
    (403, "ivc_not_permitted", Refused, "Starter"),
    (400, "voice_not_found", Gone, "no longer exists"),
    (404, "voice_not_found", Gone, "no longer exists"),
    (404, "voice_does_not_exist", Gone, "no longer exists"),
    (404, "sample_not_found", Gone, "no longer exists"),
    (401, "invalid_api_key", NotConfigured, "ELEVENLABS_API_KEY"),
    (401, "missing_api_key", NotConfigured, "ELEVENLABS_API_KEY"),
    (401, "invalid_authorization_header", NotConfigured, "ELEVENLABS_API_KEY"),
    (401, "unauthorized", NotConfigured, "ELEVENLABS_API_KEY"),
    (401, "sign_in_required", NotConfigured, "ELEVENLABS_API_KEY"),
    (401, "needs_authorization", NotConfigured, "ELEVENLABS_API_KEY"),
    (401, "something_new", NotConfigured, "ELEVENLABS_API_KEY"),
    (403, "ip_not_allowed", NotConfigured, "network"),
    (401, "missing_permissions", NotConfigured, "permission user_read"),
    (403, "insufficient_permissions", NotConfigured, "permission user_read"),
    (401, "quota_exceeded", QuotaExceeded, "credits"),
    (402, "insufficient_credits", QuotaExceeded, "credits"),
    (402, "something_new", QuotaExceeded, "credits"),
    (402, "paid_plan_required", Refused, "plan"),
    (403, "subscription_required", Refused, "plan"),
    (403, "feature_not_available", Refused, "plan"),
    (403, "only_for_creator+", Refused, "plan"),
    (401, "detected_unusual_activity", Refused, "paid plan"),
    (403, "content_against_policy", Refused, "rules"),
    (403, "voice_requires_verification", Refused, "Verify"),
    (403, "forbidden", Refused, "refused"),
    (403, "voice_access_denied", Refused, "refused"),
    (409, "voice_already_exists", Refused, "another"),
    (409, "conflict", Transient, "again"),
    (409, "concurrent_modification", Transient, "again"),
    (409, "already_processing", Transient, "again"),
    (408, "timeout", Transient, "again"),
    (425, "too_early", Transient, "again"),
    (429, "too_many_concurrent_requests", AtCapacity, "at once"),
    (429, "concurrent_limit_exceeded", AtCapacity, "at once"),
    (429, "rate_limit_exceeded", AtCapacity, "busy"),
    (429, "system_busy", AtCapacity, "busy"),
    (429, "something_new", AtCapacity, "busy"),
    (500, "internal_error", Transient, "again"),
    (503, "service_unavailable", AtCapacity, "again"),
    (503, "maintenance", AtCapacity, "again"),
]


async def raised(eleven: StandIn, provider: ElevenLabsProvider, act: Act) -> ProviderError:
    """What it ends with when everything that is to be spoken is answered like this."""
    eleven.always("speech", act)
    voice = SpeechRequest("Hello.", PREMADE[0])
    with pytest.raises(ProviderError) as caught:
        [piece async for piece in provider.synthesize(voice)]
    return caught.value


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, make: MakeProvider) -> ElevenLabsProvider:
    """What is too busy to speak is not waited for."""
    provider = make()
    monkeypatch.setattr(provider._speech, "_busy_seconds", 0.0)
    return provider


@pytest.mark.parametrize(("status", "code", "kind", "words"), DOCUMENTED)
async def test_documented_errors(
    eleven: StandIn,
    impatient: ElevenLabsProvider,
    status: int,
    code: str,
    kind: type[ProviderError],
    words: str,
) -> None:
    for legacy in (False, True):
        problem = await raised(eleven, impatient, error(status, code, MISSING, legacy=legacy))
        assert type(problem) is kind
        assert words in str(problem)


async def test_the_code_goes_before_the_older_status(eleven: StandIn, impatient: ElevenLabsProvider) -> None:
    detail = b'{"detail": {"code": "paid_plan_required", "status": "can_not_use_instant_voice_cloning"}}'
    assert type(await raised(eleven, impatient, body(400, detail, "application/json"))) is Refused
    detail = b'{"detail": {"code": "something_new", "status": "quota_exceeded"}}'
    assert type(await raised(eleven, impatient, body(401, detail, "application/json"))) is QuotaExceeded


@pytest.mark.parametrize(
    ("status", "content", "kind", "words"),
    [
        (422, b'{"detail": [{"loc": ["body", "text"], "msg": "Field required", "type": "missing"}]}', Refused, "Field"),
        (422, b'{"detail": [17, {"msg": null}]}', Refused, "refused this."),
        (422, b"not json", NotConfigured, "ELEVENLABS_API_URL"),
        (400, b'{"detail": "voice is not good"}', Refused, "voice is not good"),
        (403, b'{"detail": "This voice needs verification first"}', Refused, "Verify"),
        (404, b'{"detail": "Not Found"}', Gone, "no longer"),
        (404, b"<html>nothing here</html>", NotConfigured, "ELEVENLABS_API_URL"),
        (301, b"", NotConfigured, "ELEVENLABS_API_URL"),
        (401, b"", NotConfigured, "ELEVENLABS_API_KEY"),
        (403, b"<html>blocked</html>", NotConfigured, "ELEVENLABS_API_URL"),
        (502, b"<html>bad gateway</html>", Transient, "again"),
        (500, b"", Transient, "again"),
        (500, b"[]", Transient, "again"),
        (400, b'{"detail": null}', NotConfigured, "ELEVENLABS_API_URL"),
    ],
)
async def test_other_forms(
    eleven: StandIn,
    impatient: ElevenLabsProvider,
    status: int,
    content: bytes,
    kind: type[ProviderError],
    words: str,
) -> None:
    problem = await raised(eleven, impatient, body(status, content, "application/json"))
    assert type(problem) is kind
    assert words in str(problem)


@pytest.mark.parametrize(("wanted", "given"), [(7, 7.0), (0, 0.0), (100_000, 60.0), (None, 1.0)])
async def test_the_time_to_come_again(
    eleven: StandIn, impatient: ElevenLabsProvider, wanted: int | None, given: float
) -> None:
    problem = await raised(eleven, impatient, error(429, "system_busy", retry_after=wanted))
    assert isinstance(problem, AtCapacity)
    assert problem.retry_after == given


async def test_nobody_there(make: MakeProvider) -> None:
    provider = make(url="http://127.0.0.1:9")
    with pytest.raises(Transient, match="reached"):
        await provider.voices()


async def test_their_words_are_quoted_shortly_and_in_one_line(eleven: StandIn, impatient: ElevenLabsProvider) -> None:
    problem = await raised(eleven, impatient, error(400, "something_new", "One\n two.   " * 100))
    assert "One two. One two." in str(problem)
    assert len(str(problem)) < 300


async def test_the_key_is_in_no_error_and_in_no_log(
    eleven: StandIn, make: MakeProvider, request_: CloneRequest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "sk_feedfeedfeedfeedfeedfeedfeedfeed"
    with capture_logs() as logged:
        provider = make(key=secret)  # the stand-in repeats it in its answer
        problems: list[BaseException] = []
        for attempt in (provider.voices, provider.clone_quota, lambda: provider.clone(request_)):
            with pytest.raises(NotConfigured) as caught:
                await attempt()
            problems.append(caught.value)
        eleven.script("add", error(400, "something_new", f"Who is {KEY}?"), body(500, KEY.encode()))
        for _ in range(2):
            with pytest.raises((Refused, Transient)) as refused:
                await make().clone(request_)
            problems.append(refused.value)
    for problem in problems:
        assert problem.__suppress_context__
        assert problem.__cause__ is None
    words = "".join(map(repr, problems)) + repr(logged) + caplog.text
    assert secret not in words
    assert KEY not in words
    assert secret not in repr(provider._connection._settings)
