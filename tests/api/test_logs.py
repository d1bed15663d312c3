"""Logs: structured, and silent about what is secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from api.logs import set_up_logs
from api.redaction import HIDDEN, redact, redact_value


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Everything is put back afterwards: logs are the process's own."""
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    log = io.StringIO()
    set_up_logs("INFO", log)
    yield log
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)
    structlog.contextvars.clear_contextvars()


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("calling +14155552671 now", "calling +1415•••2671 now"),
        ("To=%2B14155552671&From=%2b442079460123", "To=+1415•••2671&From=+4420•••0123"),
        ("two: +14155552671,+14155552672", "two: +1415•••2671,+1415•••2672"),
        ("1+1234 is not a number to call", "1+1234 is not a number to call"),
        ("Bearer dr_abcdefghijkl", f"Bearer dr_{HIDDEN}"),
        ("bearer eyJhbGciOi.x-y_z", f"bearer {HIDDEN}"),
        ("the token dr_abcdefghijkl.", f"the token dr_{HIDDEN}."),
        ("Authorization: Basic QUMxMjM0OnNlY3JldA==", f"Authorization: {HIDDEN} {HIDDEN}"),
        ("authorization='Digest username'", f"authorization={HIDDEN}"),
        ("Cookie: session=abc; theme=dark", f"Cookie: {HIDDEN}; theme=dark"),
        ("Set-Cookie: __Host-session=abc; Path=/", f"Set-Cookie: {HIDDEN}; Path=/"),
        ("/audio/x.wav?owner=1&expires=2&signature=a-b_c", f"/audio/x.wav?owner=1&expires=2&signature={HIDDEN}"),
        ("X-Twilio-Signature: 0/KCTR6DLpKmkAf8muzZqo1nDgQ=", f"X-Twilio-Signature: {HIDDEN}"),
        ('{"password": "correct \\"horse", "email": "a@b.c"}', f'{{"password": {HIDDEN}, "email": "a@b.c"}}'),
        ("postgresql://user:pa:ss@host/db", f"postgresql://{HIDDEN}@host/db"),
        ("auth_token=abc secret_key='x y'", f"auth_token={HIDDEN} secret_key={HIDDEN}"),
        ("nothing to hide here, at 12:30:45", "nothing to hide here, at 12:30:45"),
    ],
)
def test_secrets_are_taken_out_of_text(text: str, redacted: str) -> None:
    assert redact(text) == redacted


def test_secrets_are_taken_out_of_what_is_logged_by_name() -> None:
    given = {
        "phone": "(415) 555-2671",
        "to": 14155552671,
        "password": "x",
        "headers": {"Authorization": "x", "X-Twilio-Signature": "x", "setCookie": "x", "accept": "*/*"},
        "form": [("Digits", "1"), ("To", "+14155552671")],
        "count": 14155552671,
        "ready": True,
        "nothing": None,
        "seconds": 1.5,
    }
    assert redact_value(given) == {
        "phone": "(415)•••2671",
        "to": "14155•••2671",
        "password": HIDDEN,
        "headers": {"Authorization": HIDDEN, "X-Twilio-Signature": HIDDEN, "setCookie": HIDDEN, "accept": "*/*"},
        "form": [["Digits", "1"], ["To", "+1415•••2671"]],
        "count": 14155552671,
        "ready": True,
        "nothing": None,
        "seconds": 1.5,
    }


def test_a_line_is_json_with_what_its_task_has_bound(stream: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(request_id="r1", call_id="c1")
    structlog.get_logger().info("call.placed", phone="+14155552671", seconds=1.5)
    [line] = _lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "call.placed",
        "level": "info",
        "phone": "+1415•••2671",
        "seconds": 1.5,
        "request_id": "r1",
        "call_id": "c1",
    }


def test_other_libraries_logs_pass_the_same_way(stream: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(request_id="r1")
    logging.getLogger("somebody").warning("said %s", "+14155552671", extra={"token": "x"})
    logging.getLogger("httpx").info("HTTP Request: GET https://api.example.com/?secret=1")
    [line] = _lines(stream)
    assert (line["event"], line["token"], line["request_id"]) == ("said +1415•••2671", HIDDEN, "r1")


def test_tracebacks_are_redacted_too(stream: io.StringIO) -> None:
    for log in (structlog.get_logger(), logging.getLogger("somebody")):
        try:
            raise RuntimeError("no answer from +14155552671 (Bearer dr_abcdefghijkl)")
        except RuntimeError:
            log.exception("call.failed")
    for line in _lines(stream):
        assert "RuntimeError: no answer from +1415•••2671" in line["exception"]
        assert "abcdefghijkl" not in line["exception"]


def test_a_terminal_gets_lines_for_people(stream: io.StringIO) -> None:
    terminal = Terminal()
    set_up_logs("INFO", terminal)
    secret = "correct horse"
    try:
        raise RuntimeError("+14155552671")
    except RuntimeError:
        structlog.get_logger().exception("call.failed", password=secret)
    printed = terminal.getvalue()
    assert "call.failed" in printed
    assert "+1415•••2671" in printed
    assert secret not in printed  # nor among the variables of a traceback
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(printed)


def test_the_level_holds(stream: io.StringIO) -> None:
    set_up_logs("WARNING", stream)
    structlog.get_logger().info("not this")
    logging.getLogger("somebody").info("nor this")
    structlog.get_logger().warning("but this")
    assert [line["event"] for line in _lines(stream)] == ["but this"]
