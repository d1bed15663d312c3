"""The messages between the exchange and a phone; the package's docstring tells the story they make together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

SAMPLE_RATE = 8000
"""Hz, of the μ-law sound in binary frames."""
SILENCE = b"\xff"
"""One sample of silence in μ-law (ITU-T G.711: positive zero)."""
MAX_SOUND_BYTES = SAMPLE_RATE
"""The longest binary frame: one second."""
CLOSE_REPLACED = 4001
"""WebSocket close code: a newer phone took the number."""

Keys = Annotated[str, Field(pattern=r"^[0-9*#]+$", max_length=64)]
PickedUpBy = Literal["human", "machine", "fax", "unknown"]
"""Who answers: a person, an answering machine, a fax machine, or somebody who says nothing."""


class Message(BaseModel):
    """A JSON text frame: camelCase names on the wire, and nothing changes once it is made."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    def encode(self) -> str:
        return self.model_dump_json(by_alias=True)


# ── from the exchange ────────────────────────────────────────────────────────


class Registered(Message):
    """The phone has its number. One simulated second lasts `1 / speed` seconds."""

    event: Literal["registered"] = "registered"
    number: str
    speed: float


class Replaced(Message):
    """A newer phone took the number; the connection is closed next."""

    event: Literal["replaced"] = "replaced"
    reason: str


class Ringing(Message):
    event: Literal["ringing"] = "ringing"
    call_sid: str
    caller: str


class RingingStopped(Message):
    """The call ended unanswered."""

    event: Literal["ringing-stopped"] = "ringing-stopped"
    call_sid: str
    status: Literal["busy", "canceled", "failed", "no-answer"]


class Answered(Message):
    event: Literal["answered"] = "answered"
    call_sid: str


class Said(Message):
    """`text` is spoken for `seconds` (simulated)."""

    event: Literal["said"] = "said"
    text: str
    seconds: float


class Played(Message):
    """A sound file of `seconds` (simulated) follows in binary frames."""

    event: Literal["played"] = "played"
    url: str
    seconds: float


class Gathering(Message):
    """From now on keys count. The gathering ends after `num_digits` keys, at a key of `finish_on_key`, or `timeout`
    seconds (simulated) after the prompt and the last key."""

    event: Literal["gathering"] = "gathering"
    num_digits: int | None
    finish_on_key: str
    timeout: float


class AwaitingKeys(Message):
    """The prompt of the gathering is over: its time-out runs."""

    event: Literal["awaiting-keys"] = "awaiting-keys"


class Gathered(Message):
    """The gathering is over; `digits` are those that counted, without the one that finished it."""

    event: Literal["gathered"] = "gathered"
    digits: str


class Recording(Message):
    """Speak now. The recording ends at a key of `finish_on_key`, after `timeout` seconds of silence, or after
    `max_length` seconds, all measured in samples received."""

    event: Literal["recording"] = "recording"
    beep: bool
    finish_on_key: str
    timeout: float
    max_length: float


class Recorded(Message):
    """The recording is over. `seconds` is its length before silence is trimmed."""

    event: Literal["recorded"] = "recorded"
    reason: Literal["key", "silence", "max-length", "hang-up", "redirected"]
    seconds: float


class Ended(Message):
    """The call is over. `error_code` is Twilio's, when an error ended the call."""

    event: Literal["ended"] = "ended"
    call_sid: str
    status: str
    seconds: float
    error_code: int | None = None
    error_message: str | None = None


class Problem(Message):
    """What the phone sent made no sense and was ignored."""

    event: Literal["problem"] = "problem"
    message: str


FromExchange = (
    Registered
    | Replaced
    | Ringing
    | RingingStopped
    | Answered
    | Said
    | Played
    | Gathering
    | AwaitingKeys
    | Gathered
    | Recording
    | Recorded
    | Ended
    | Problem
)

# ── from the phone ───────────────────────────────────────────────────────────


class Answer(Message):
    """`by` is what machine detection is to find."""

    event: Literal["answer"] = "answer"
    by: PickedUpBy = "human"


class Decline(Message):
    """`busy`: the person does not take the call. `failed`: the line is broken, the network cannot complete the call."""

    event: Literal["decline"] = "decline"
    reason: Literal["busy", "failed"] = "busy"


class PressKeys(Message):
    event: Literal["keys"] = "keys"
    keys: Keys


class HangUp(Message):
    event: Literal["hang-up"] = "hang-up"


FromPhone = Answer | Decline | PressKeys | HangUp

_from_exchange: TypeAdapter[FromExchange] = TypeAdapter(Annotated[FromExchange, Field(discriminator="event")])
_from_phone: TypeAdapter[FromPhone] = TypeAdapter(Annotated[FromPhone, Field(discriminator="event")])


def decode_from_exchange(text: str) -> FromExchange:
    """Raises pydantic's `ValidationError` (a `ValueError`) for anything that is not one of the messages."""
    return _from_exchange.validate_json(text)


def decode_from_phone(text: str) -> FromPhone:
    """Raises pydantic's `ValidationError` (a `ValueError`) for anything that is not one of the messages."""
    return _from_phone.validate_json(text)
