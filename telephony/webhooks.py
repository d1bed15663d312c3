"""The HTTP side of calls: what Twilio asks and reports, each in one transaction, answered from the database alone.

A webhook is checked (signature, then values), stored under a key made of what it reports, acted on, and its answer kept
with it: a repeated delivery gets the same answer and changes nothing. The key is made of signed content only. Twilio's
`I-Twilio-Idempotency-Token` header is not used: it is not signed, and says nothing that the content does not say.

When we fail, a step answers 500, and a delivery that was not committed has not happened: Twilio asks again, maybe
another process, and at last at the fallback, which goes on from where the call stands.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import ValidationError
from sqlmodel import col, func, select
from structlog.contextvars import bound_contextvars

from studio.database import AWAY, Unit
from studio.desk import Goodbye, GoodbyeReason, Step, UnknownCall
from studio.retrying import retried
from studio.studio import Studio
from studio.tables import Call, ReceivedWebhook
from telephony.parameters import (
    AnsweredBy,
    DocumentFailed,
    KeysPressed,
    RecordingReport,
    StatusReport,
    StepRequest,
    TakeFinished,
    Waiting,
    Webhook,
    in_words,
)
from telephony.refusals import call_failure
from telephony.script import consent_wording, document
from telephony.settings import TelephonySettings
from telephony.signature import Signatures, signed_form
from telephony.urls import PREFIX, CallUrls, Onward, TakeLinks

MAX_FAILURES = 3
"""How often a call picks up where it stands; at the next failure it says goodbye."""
_FALLBACK = "fallback"
_AWAY_SECONDS = 4.0  # Twilio gives an answer 5 seconds (`urls.RETRIES`)
T = TypeVar("T")
W = TypeVar("W", bound=Webhook)
S = TypeVar("S", bound=StepRequest)
_log = structlog.get_logger()


def router(studio: Studio, settings: TelephonySettings) -> APIRouter:
    """The addresses that `telephony.urls` names. Without credentials nobody can sign, and all of them answer 403."""
    desk = studio.desk
    reception = _Reception(studio, settings)
    routes = APIRouter(prefix=PREFIX, include_in_schema=False)

    @routes.post("/{call_id}/answer")
    async def answer(call_id: str, request: Request) -> Response:
        async def act(unit: Unit, asked: StepRequest) -> Step:
            return await desk.answered(unit, call_id, asked.call_sid)

        return await reception.step(request, call_id, "answer", StepRequest, act)

    @routes.post("/{call_id}/consent")
    async def consent(call_id: str, request: Request) -> Response:
        async def act(unit: Unit, asked: KeysPressed) -> Step:
            return await desk.consent(unit, call_id, asked.digits or None, asked.attempt, consent_wording)

        return await reception.step(request, call_id, "consent", KeysPressed, act)

    @routes.post("/{call_id}/take")
    async def take(call_id: str, request: Request) -> Response:
        async def act(unit: Unit, asked: TakeFinished) -> Step:
            return await desk.take_finished(unit, call_id, asked.recording_sid, asked.seconds, asked.digits)

        return await reception.step(request, call_id, "take", TakeFinished, act)

    @routes.post("/{call_id}/silent")
    async def silent(call_id: str, request: Request) -> Response:
        async def act(unit: Unit, asked: StepRequest) -> Step:
            return await desk.take_finished(unit, call_id, None, 0.0, "")

        return await reception.step(request, call_id, "silent", StepRequest, act)

    @routes.post("/{call_id}/review")
    async def review(call_id: str, request: Request) -> Response:
        async def act(unit: Unit, asked: Waiting) -> Step:
            return await desk.review(unit, call_id, asked.waited)

        return await reception.step(request, call_id, "review", Waiting, act)

    @routes.post("/{call_id}/choice")
    async def choice(call_id: str, request: Request) -> Response:
        async def act(unit: Unit, asked: KeysPressed) -> Step:
            return await desk.choice(unit, call_id, asked.digits or None, asked.attempt)

        return await reception.step(request, call_id, "choice", KeysPressed, act)

    @routes.post("/{call_id}/fallback")
    async def fallback(call_id: str, request: Request) -> Response:
        async def act(unit: Unit, asked: DocumentFailed) -> Step:
            _log.warning("call.document_failed", twilio_code=asked.error_code, failed=asked.failed or "not ours")
            # Our own fallback has no address that tells one failure of it from the next.
            hopeless = asked.place in ("", _FALLBACK) or await _failures(unit, call_id) > MAX_FAILURES
            if hopeless:
                return await desk.give_up(unit, call_id, asked.call_sid)
            return await desk.resume(unit, call_id, asked.call_sid, take_lost=asked.place == "take")

        return await reception.step(request, call_id, _FALLBACK, DocumentFailed, act)

    @routes.post("/{call_id}/status")
    async def status(call_id: str, request: Request) -> Response:
        async def act(unit: Unit, report: StatusReport) -> None:
            why = call_failure(report.error_code, report.error_message, report.sip_code)
            await desk.call_status(unit, call_id, report.call_sid, report.status, report.at, why)

        return await reception.report(request, call_id, "status", StatusReport, lambda report: report.status, act)

    @routes.post("/{call_id}/answered-by")
    async def answered_by(call_id: str, request: Request) -> Response:
        async def act(unit: Unit, report: AnsweredBy) -> None:
            if report.machine and not await _has_pressed_keys(unit, call_id):
                await desk.answered_by_machine(unit, call_id, report.call_sid)

        return await reception.report(request, call_id, "answered-by", AnsweredBy, lambda report: report.who, act)

    @routes.post("/{call_id}/recording")
    async def recording(call_id: str, request: Request) -> Response:
        async def act(unit: Unit, report: RecordingReport) -> None:
            if report.status != "in-progress":
                await desk.recording_status(unit, call_id, report.recording_sid, report.status == "completed")

        def event(report: RecordingReport) -> str:
            return f"{report.recording_sid}/{report.status}"

        return await reception.report(request, call_id, "recording", RecordingReport, event, act)

    @routes.get("/{call_id}/takes/{recording_id}.wav")
    async def take_sound(call_id: str, recording_id: str, expires: str = "", signature: str = "") -> Response:
        if not reception.may_hear(call_id, recording_id, expires, signature):
            raise HTTPException(403, "This address is wrong or has expired.")
        sound = await desk.replay_audio(call_id, recording_id)
        if sound is None:
            raise HTTPException(404, "There is no such recording.")
        # Twilio keeps what it plays unless it is told not to.
        return Response(sound, media_type="audio/wav", headers={"Cache-Control": "no-store"})

    return routes


class _Reception:
    """Takes webhooks in."""

    def __init__(self, studio: Studio, settings: TelephonySettings) -> None:
        self._studio = studio
        self._base = settings.public_base_url
        secret = settings.twilio_auth_token
        # Without a token, one that nobody knows.
        token = secret.get_secret_value() if secret is not None else secrets.token_urlsafe()
        shared_keys = {key: each.get_secret_value() for key, each in settings.twilio_shared_keys.items()}
        self._signatures = Signatures(token, self._base, shared_keys)
        self._links = TakeLinks(token)

    def may_hear(self, call_id: str, recording_id: str, expires: str, signature: str) -> bool:
        if not (expires.isdecimal() and len(expires) <= 12):
            return False
        return self._links.valid(call_id, recording_id, int(expires), signature)

    async def step(
        self,
        request: Request,
        call_id: str,
        kind: str,
        parameters: type[S],
        act: Callable[[Unit, S], Awaitable[Step]],
    ) -> Response:
        """Answer with the TwiML of the step that `act` returns. There is somebody on the phone: what goes wrong on our
        side is tried again, and told them in words when it goes wrong at the fallback too."""
        with bound_contextvars(call_id=call_id[:64], webhook=kind):
            asked = await self._read(request, parameters)
            onward = Onward(CallUrls(self._base, call_id), asked.step + 1, self._links)
            try:
                answer = await _while_away(lambda: self._answer(call_id, kind, asked, act, onward))
            except HTTPException:
                raise
            except UnknownCall:
                _log.warning("webhook.unknown_call")
                answer = document(Goodbye(GoodbyeReason.TROUBLE), onward)
            except Exception as problem:
                _log.error("webhook.failed", problem=repr(problem), exc_info=not isinstance(problem, AWAY))
                if kind != _FALLBACK:
                    raise HTTPException(500, "Something went wrong on our side: ask again.") from None
                answer = document(Goodbye(GoodbyeReason.TROUBLE), onward)
            return Response(answer, media_type="application/xml")

    async def _answer(
        self, call_id: str, kind: str, asked: S, act: Callable[[Unit, S], Awaitable[Step]], onward: Onward
    ) -> str:
        key = f"{call_id}/{kind}/{asked.event}"
        async with self._studio.inbox.receive(call_id, kind, key, asked.stored()) as webhook:
            await _check_sid(webhook.unit, call_id, asked.call_sid)
            if webhook.answer is None:
                step = await act(webhook.unit, asked)
                webhook.answer = document(step, onward)
                _log.info("webhook.answered", step=type(step).__name__)
            else:
                _log.info("webhook.repeated")
            return webhook.answer

    async def report(
        self,
        request: Request,
        call_id: str,
        kind: str,
        parameters: type[W],
        event: Callable[[W], str],
        act: Callable[[Unit, W], Awaitable[None]],
    ) -> Response:
        """Take note of something; `event` names what is reported, the same in every delivery."""
        with bound_contextvars(call_id=call_id[:64], webhook=kind):
            report = await self._read(request, parameters)
            key = f"{call_id}/{kind}/{event(report)}"

            async def take_in() -> bool:
                async with self._studio.inbox.receive(call_id, kind, key, report.stored()) as webhook:
                    await _check_sid(webhook.unit, call_id, report.call_sid)
                    if not webhook.repeated:
                        await act(webhook.unit, report)
                return webhook.repeated

            try:
                repeated = await _while_away(take_in)
            except UnknownCall:
                _log.warning("webhook.unknown_call")
                raise HTTPException(404, "There is no such call.") from None
            _log.info("webhook.received", event_key=key, repeated=repeated)
            return Response(status_code=204)

    async def _read(self, request: Request, parameters: type[W]) -> W:
        try:
            form = await signed_form(request, self._signatures)
            return parameters.model_validate({**request.query_params, **form})
        except HTTPException as refusal:
            _log.warning("webhook.refused", status=refusal.status_code, reason=refusal.detail)
            raise
        except ValidationError as error:
            reason = in_words(error)
            _log.warning("webhook.refused", status=400, reason=reason)
            raise HTTPException(400, reason) from None


async def _while_away(attempt: Callable[[], Awaitable[T]]) -> T:
    """Twilio asks again, but not for long: a database that is restarted is waited for here too."""
    return await retried(attempt, AWAY, _AWAY_SECONDS, first_pause=0.2, longest_pause=1.0)


async def _check_sid(unit: Unit, call_id: str, sid: str) -> None:
    """A webhook of another call, signed for the same account, is none of this one's.

    Raises:
        UnknownCall
        HTTPException: 403.
    """
    # The column alone: the row itself is read under a lock, at the desk.
    sids = (await unit.exec(select(Call.sid).where(Call.id == call_id))).all()
    if not sids:
        raise UnknownCall(call_id)
    if sids[0] not in (None, sid):
        _log.warning("webhook.refused", status=403, reason="the sid of another call")
        raise HTTPException(403, "CallSid is not that of this call.")


async def _failures(unit: Unit, call_id: str) -> int:
    """How often Twilio turned to the fallback in this call, this time included."""
    failed = (ReceivedWebhook.call_id == call_id, ReceivedWebhook.kind == _FALLBACK)
    return (await unit.exec(select(func.count()).select_from(ReceivedWebhook).where(*failed))).one()


async def _has_pressed_keys(unit: Unit, call_id: str) -> bool:
    """Whether there is somebody who pressed a key, be it a wrong one."""
    # Locked as at the desk, so that a key that is being taken in at this moment counts.
    await unit.exec(select(Call.id).where(Call.id == call_id).with_for_update())
    asked = (col(ReceivedWebhook.call_id) == call_id, col(ReceivedWebhook.kind) == "consent")
    answers = await unit.exec(select(ReceivedWebhook.parameters).where(*asked))
    return any(parameters.get("digits") for parameters in answers)
