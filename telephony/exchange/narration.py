"""What happens on a phone, in words for the person who watches."""

from __future__ import annotations

from telephony.exchange.protocol import (
    Answer,
    Answered,
    AwaitingKeys,
    Decline,
    Ended,
    FromExchange,
    FromPhone,
    Gathered,
    Gathering,
    HangUp,
    Played,
    PressKeys,
    Problem,
    Recorded,
    Recording,
    Registered,
    Replaced,
    Ringing,
    RingingStopped,
    Said,
)

_STOPPED = {
    "busy": "declined: the caller finds the line busy",
    "canceled": "the caller gave up",
    "failed": "the line is broken: the call failed",
    "no-answer": "nobody answered",
}
_RECORDED = {
    "key": "a key was pressed",
    "silence": "there was silence",
    "max-length": "it is as long as it may be",
    "hang-up": "the call ended",
    "redirected": "the call went on elsewhere",
}

_ANSWERING = {
    "human": "Answering",
    "machine": "An answering machine picks up",
    "fax": "A fax machine picks up",
    "unknown": "Answering without a word",
}


def describe(message: FromExchange | FromPhone) -> str | None:
    """One line, or None for what needs no words."""
    match message:
        case Registered():
            return f"This is the phone {message.number}. Waiting for a call."
        case Replaced():
            return f"Disconnected: {message.reason}."
        case Ringing():
            return f"Ringing: a call from {message.caller}"
        case RingingStopped():
            return f"Stopped ringing: {_STOPPED[message.status]}"
        case Answered():
            return "In the call"
        case Said():
            return f"Voice: {message.text}"
        case Played():
            return f"Hearing a sound of {message.seconds:.1f} s"
        case AwaitingKeys():
            return "Waiting for keys"
        case Gathering() | Gathered():
            return None
        case Recording():
            return f"{'Beep! ' if message.beep else ''}Recording: speak now"
        case Recorded():
            return f"Recorded {message.seconds:.1f} s ({_RECORDED[message.reason]})"
        case Ended():
            problem = f": error {message.error_code}, {message.error_message}" if message.error_code else ""
            return f"Call over after {message.seconds:.1f} s{problem}"
        case Problem():
            return f"That does not work now: {message.message}"
        case Answer():
            return _ANSWERING[message.by]
        case Decline():
            return "Declining"
        case PressKeys():
            return f"Pressing {' '.join(message.keys)}"
        case HangUp():
            return "Hanging up"
