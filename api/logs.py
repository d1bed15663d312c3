"""Structured logs: lines for people in a terminal, JSON otherwise. Everything passes through redaction, whoever logs.

What is bound with `structlog.contextvars` (request, call, clone) stands in every line of the task that bound it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import Processor, WrappedLogger

from api.redaction import redact_value

# Libraries that log every request they make, with addresses in full, or every step of what they do.
_TALKATIVE = ("alembic", "httpx", "httpcore", "httpx2", "httpcore2", "twilio", "hpack")


def redact_entries(_logger: WrappedLogger, _method: str, entries: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: the last before a line is written, so that tracebacks have become text."""
    for name, value in entries.items():
        if not name.startswith("_"):
            entries[name] = redact_value(value, name)
    return entries


def _without_colors(
    _logger: WrappedLogger, _method: str, entries: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Uvicorn says some things twice, once in color."""
    entries.pop("color_message", None)
    return entries


def set_up_logs(level: str, stream: TextIO | None = None) -> None:
    """Send all logs, structlog's and the standard library's, to `stream` (standard error)."""
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    renderer: Processor = (
        structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _without_colors, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact_entries, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
