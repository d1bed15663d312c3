"""TwiML: from XML to verbs, with Twilio's defaults (https://www.twilio.com/docs/voice/twiml).

What the exchange carries out is here; `<Connect><Stream>` will join it. Verbs keep the order of the document; an
attribute that the exchange does not know changes nothing: Twilio only warns of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from telephony.exchange.errors import DOCUMENT_PARSE_FAILURE, SCHEMA_VIOLATION, CallError
from telephony.exchange.webhooks import Method

ANY_KEY = "1234567890*#"
RecordingEvent = Literal["in-progress", "completed", "absent"]


@dataclass(frozen=True, slots=True)
class Say:
    text: str
    loop: int
    """How often; 0 means until the call ends."""


@dataclass(frozen=True, slots=True)
class Play:
    url: str
    loop: int


@dataclass(frozen=True, slots=True)
class Pause:
    length: float


Prompt = Say | Play | Pause


@dataclass(frozen=True, slots=True)
class Gather:
    prompts: tuple[Prompt, ...]
    action: str
    """As written, which may be relative; empty for the document's own URL. So with every `action` here."""
    method: Method
    timeout: float
    num_digits: int | None
    finish_on_key: str
    action_on_empty_result: bool


@dataclass(frozen=True, slots=True)
class Record:
    action: str
    method: Method
    timeout: float
    finish_on_key: str
    max_length: float
    play_beep: bool
    trim: bool
    status_callback: str
    status_callback_method: Method
    status_callback_events: frozenset[str]


@dataclass(frozen=True, slots=True)
class Redirect:
    url: str
    method: Method


@dataclass(frozen=True, slots=True)
class Hangup:
    pass


@dataclass(frozen=True, slots=True)
class Reject:
    pass


Verb = Say | Play | Pause | Gather | Record | Redirect | Hangup | Reject


def parse(text: str) -> list[Verb]:
    """Raises:
    CallError: 12100 for what is not an XML document, 12200 for what is not TwiML or has a value that makes no sense.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise CallError(DOCUMENT_PARSE_FAILURE, "a TwiML document has no document type and no entities of its own")
    try:
        root = ElementTree.fromstring(text.strip())
    except (ElementTree.ParseError, ValueError) as error:
        raise CallError(DOCUMENT_PARSE_FAILURE, f"the TwiML document is not well-formed XML: {error}") from error
    if root.tag != "Response":
        raise CallError(SCHEMA_VIOLATION, f"the root of a TwiML document is <Response>, not <{root.tag}>")
    return [_verb(element) for element in root]


def _verb(element: ElementTree.Element) -> Verb:
    build = _BUILDERS.get(element.tag)
    if build is None:
        raise CallError(SCHEMA_VIOLATION, f"the exchange knows no verb <{element.tag}>")
    return build(_Attributes(element))


class _Attributes:
    """An element's attributes, typed."""

    def __init__(self, element: ElementTree.Element) -> None:
        self.element = element
        self._given = dict(element.attrib)

    def text(self, name: str, default: str = "") -> str:
        return self._given.get(name, default).strip()

    def method(self, name: str = "method") -> Method:
        match self.text(name, "POST").upper():
            case "POST":
                return "POST"
            case "GET":
                return "GET"
        raise self._wrong(name, "GET or POST")

    def whole(self, name: str, default: int, *, least: int, most: int = 86400) -> int:
        text = self.text(name, str(default))
        if not text.isdecimal() or not least <= int(text) <= most:
            raise self._wrong(name, f"a whole number from {least} to {most}")
        return int(text)

    def flag(self, name: str, default: bool) -> bool:
        text = self.text(name, str(default)).lower()
        if text not in ("true", "false"):
            raise self._wrong(name, "true or false")
        return text == "true"

    def keys(self, name: str, default: str) -> str:
        keys = self.text(name, default)
        if not set(keys) <= set(ANY_KEY):
            raise self._wrong(name, "made of 0-9, # and *")
        return keys

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        text = self.text(name, default)
        if text not in choices:
            raise self._wrong(name, f"one of {', '.join(choices)}")
        return text

    def content(self) -> str:
        return " ".join("".join(self.element.itertext()).split())

    def _wrong(self, name: str, wanted: str) -> CallError:
        given = self._given.get(name, "")
        return CallError(SCHEMA_VIOLATION, f"the attribute {name}={given!r} of <{self.element.tag}> should be {wanted}")


def _say(attributes: _Attributes) -> Say:
    return Say(attributes.content(), attributes.whole("loop", 1, least=0))


def _play(attributes: _Attributes) -> Play:
    url = attributes.content()
    if not url:
        raise CallError(SCHEMA_VIOLATION, "<Play> needs the URL of a sound")
    return Play(url, attributes.whole("loop", 1, least=0))


def _pause(attributes: _Attributes) -> Pause:
    return Pause(attributes.whole("length", 1, least=0))


def _gather(attributes: _Attributes) -> Gather:
    attributes.choice("input", "dtmf", ("dtmf",))  # the exchange hears keys, not words
    prompts: list[Prompt] = []
    for child in attributes.element:
        verb = _verb(child)
        if not isinstance(verb, Say | Play | Pause):
            raise CallError(SCHEMA_VIOLATION, f"<{child.tag}> cannot stand inside <Gather>")
        prompts.append(verb)
    limited = "numDigits" in attributes.element.attrib
    return Gather(
        prompts=tuple(prompts),
        action=attributes.text("action"),
        method=attributes.method(),
        timeout=attributes.whole("timeout", 5, least=0),
        num_digits=attributes.whole("numDigits", 1, least=1) if limited else None,
        finish_on_key=attributes.keys("finishOnKey", "#"),
        action_on_empty_result=attributes.flag("actionOnEmptyResult", False),
    )


def _record(attributes: _Attributes) -> Record:
    events = attributes.text("recordingStatusCallbackEvent", "completed").split()
    if not set(events) <= {"in-progress", "completed", "absent"}:
        raise CallError(SCHEMA_VIOLATION, f"<Record> has no status callback events {' '.join(events)!r}")
    return Record(
        action=attributes.text("action"),
        method=attributes.method(),
        timeout=attributes.whole("timeout", 5, least=1),
        finish_on_key=attributes.keys("finishOnKey", ANY_KEY),
        max_length=attributes.whole("maxLength", 3600, least=1, most=14400),
        play_beep=attributes.flag("playBeep", True),
        trim=attributes.choice("trim", "trim-silence", ("trim-silence", "do-not-trim")) == "trim-silence",
        status_callback=attributes.text("recordingStatusCallback"),
        status_callback_method=attributes.method("recordingStatusCallbackMethod"),
        status_callback_events=frozenset(events),
    )


def _redirect(attributes: _Attributes) -> Redirect:
    return Redirect(attributes.content(), attributes.method())


_BUILDERS: dict[str, Callable[[_Attributes], Verb]] = {
    "Say": _say,
    "Play": _play,
    "Pause": _pause,
    "Gather": _gather,
    "Record": _record,
    "Redirect": _redirect,
    "Hangup": lambda _: Hangup(),
    "Reject": lambda _: Reject(),
}
