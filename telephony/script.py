"""Every word that a caller hears, and the TwiML that has it said.

One function per `studio.desk.Step`. The voice says at once that it is a machine; nothing is recorded before the person
agreed; there is no silence longer than a breath.
"""

from __future__ import annotations

from twilio.twiml import TwiML
from twilio.twiml.voice_response import Gather, Say, VoiceResponse

from studio.desk import AskConsent, Choose, Goodbye, GoodbyeReason, Hold, Record, RecordWhy, Step
from telephony.urls import Onward

MAX_TAKE_SECONDS = 120
PAUSE_SECONDS = 6
"""A silence that ends a take: longer than somebody takes to turn a page or to think (Twilio's default is 5)."""
_KEY_SECONDS = 8  # for one key, after the question
_CODE_SECONDS = 12  # for each digit: they have to find it in the app
_MAX_NAME = 60
_VOICE, _LANGUAGE = "Polly.Joanna-Neural", "en-US"

_RECORD_REASONS = {
    RecordWhy.FIRST: "Thank you.",
    RecordWhy.AGAIN: "All right, once more.",
    RecordWhy.SILENT: "I could not hear anything. Please speak up a little.",
    RecordWhy.LOST: "I am sorry, that recording got lost on our side. Please record it again.",
}
_GOODBYES = {
    GoodbyeReason.KEPT: "Thank you. I have your recording, and your voice will be ready in the app in a moment.",
    GoodbyeReason.LATER: "Thank you. This is taking longer than usual. The app will tell you how it went.",
    GoodbyeReason.REFUSED: "All right. Nothing was recorded.",
    GoodbyeReason.WRONG_CODE: "These were not the digits that the app shows. Nothing was recorded. "
    "To try again, start again in the app and have it at hand.",
    GoodbyeReason.NO_KEY: "I did not get a key press. Nothing was recorded. To try again, start again in the app.",
    GoodbyeReason.TOO_LITTLE: "I still could not hear enough speech to make a voice. "
    "Please start again in the app, from a quiet place.",
    GoodbyeReason.MACHINE: "This sounded like an answering machine. Nothing was recorded. "
    "To try again, start again in the app.",
    GoodbyeReason.CANCELED: "This call was cancelled in the app.",
    GoodbyeReason.TROUBLE: "I am sorry, something went wrong on our side. Please start again in the app.",
}


def document(step: Step, onward: Onward) -> str:
    """The TwiML document of a step."""
    match step:
        case AskConsent():
            response = ask_consent(step, onward)
        case Record():
            response = record(step, onward)
        case Hold():
            response = hold(step, onward)
        case Choose():
            response = choose(step, onward)
        case Goodbye():
            response = goodbye(step)
    return str(response)


def consent_wording(step: AskConsent) -> str:
    """The words in which somebody who answers this question has been asked so far: kept with their consent."""
    repeated = [_consent_again(step)] * (step.attempt - 1)
    return " ".join([_explanation(step), _consent_instruction(step), *repeated])


def ask_consent(step: AskConsent, onward: Onward) -> VoiceResponse:
    first = f"{_explanation(step)} {_consent_instruction(step)}"
    text = first if step.attempt == 1 else _consent_again(step)
    gather = _gather(onward.consent(step.attempt), step.code_digits or 1)
    _say(gather, text)
    return _only(gather)


def record(step: Record, onward: Onward) -> VoiceResponse:
    response = VoiceResponse()
    _say(response, record_words(step))
    response.record(
        action=onward.take,
        method="POST",
        finish_on_key="1#",
        timeout=PAUSE_SECONDS,
        max_length=MAX_TAKE_SECONDS,
        play_beep=True,
        trim="do-not-trim",
        recording_status_callback=onward.urls.recording,
        recording_status_callback_method="POST",
        recording_status_callback_event="completed absent",
    )
    # Comes after a recording only if nothing was heard in it: then its action is not requested.
    response.redirect(onward.silent, method="POST")
    return response


def record_words(step: Record) -> str:
    wanted = round(step.wanted_seconds)
    if step.why is RecordWhy.TOO_LITTLE:
        reason = f"I heard {_seconds(step.heard_seconds)} of speech, and I need about {wanted}. Please try once more."
    else:
        reason = _RECORD_REASONS[step.why]
    return (
        f"{reason} After the beep, speak naturally for {wanted} to {wanted + 10} seconds. "
        "For instance, tell me what you did today. Press 1 when you are done."
    )


def hold(step: Hold, onward: Onward) -> VoiceResponse:
    response = VoiceResponse()
    if step.waited == 0:
        _say(response, "One moment please, I am listening to your recording.")
    elif step.waited % 3 == 0:
        _say(response, "One more moment please.")
    response.pause(length=1)
    response.redirect(onward.review(step.waited), method="POST")
    return response


def choose(step: Choose, onward: Onward) -> VoiceResponse:
    gather = _gather(onward.choice(step.attempt), 1)
    if step.play:
        gather.play(onward.take_sound(step.recording_id))
    elif step.attempt == 1:
        _say(gather, f"Thank you. I heard {_seconds(step.speech_seconds)} of speech.")
    else:
        _say(gather, "I did not get that.")
    _say(gather, "To keep it, press 1, or just hang up. To hear it, press 2. To record it again, press 3.")
    return _only(gather)


def goodbye(step: Goodbye) -> VoiceResponse:
    response = VoiceResponse()
    _say(response, f"{_GOODBYES[step.reason]} Goodbye.")
    response.hangup()
    return response


def _explanation(step: AskConsent) -> str:
    # A number that nobody has proven to be theirs hears nothing that somebody else could have written.
    named = f", to be named {_spoken(step.name)}" if step.code_digits is None else ""
    made = f"It is sent to {step.recipient}, where" if step.recipient is not None else "From it,"
    return (
        "Hello. This is an automated call from Deadringer. "
        f"It was asked for in the Deadringer app, in order to make a copy of your voice{named}. "
        "If you go on, I will record what you say after the beep. "
        f"{made} a computer voice is made that sounds like you, and that can say any text in the app. "
        "Going on means that you agree to this. "
        "You can delete the voice and the recording in the app at any time."
    )


def _consent_instruction(step: AskConsent) -> str:
    if step.code_digits is None:
        return "To agree and start, press 1. If you do not want this, just hang up."
    return (
        f"To agree and start, key in the {step.code_digits} digits that the app shows you now. "
        "If you do not want this, or did not ask for this call, just hang up."
    )


def _consent_again(step: AskConsent) -> str:
    sorry = "I did not get that." if step.code_digits is None else "I did not get the right digits."
    return f"{sorry} {_consent_instruction(step)}"


def _gather(action: str, digits: int) -> Gather:
    """Keys, and then a request to `action` in any case: with empty `Digits` when nothing was pressed."""
    return Gather(
        input="dtmf",
        num_digits=digits,
        timeout=_KEY_SECONDS if digits == 1 else _CODE_SECONDS,
        # One key is one key, # as well; after several, # may end them.
        finish_on_key="" if digits == 1 else "#",
        action=action,
        method="POST",
        action_on_empty_result=True,
    )


def _only(verb: TwiML) -> VoiceResponse:
    response = VoiceResponse()
    response.append(verb)
    return response


def _say(parent: TwiML, text: str) -> None:
    parent.append(Say(text, voice=_VOICE, language=_LANGUAGE))


def _spoken(name: str) -> str:
    """A name that somebody typed, as it can be said: without what XML cannot carry, and not too long."""
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    return words if len(words) <= _MAX_NAME else words[:_MAX_NAME].rstrip()


def _seconds(seconds: float) -> str:
    whole = int(seconds)
    if whole < 1:
        return "less than a second"
    return f"{whole} second" + ("s" if whole > 1 else "")
