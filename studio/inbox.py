"""Webhooks as they came: stored, deduplicated, acted on and answered in one transaction.

A delivery that is repeated gets the first one's answer and changes nothing. If the process dies before the commit, the
webhook has not been received, and nothing of it has been done.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert
from sqlmodel import col

from studio.database import Database, Unit
from studio.tables import ReceivedWebhook, now


@dataclass
class Webhook:
    """A webhook within its transaction. Whoever acts on it sets `answer`; if `repeated`, it is already there."""

    unit: Unit
    repeated: bool
    answer: str | None


class Inbox:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def receive(self, call_id: str, kind: str, key: str, parameters: Mapping[str, str]) -> AsyncIterator[Webhook]:
        """Take in a webhook. `key` identifies the event: two deliveries of one event have the same."""
        async with self._database.transaction() as unit:
            row = {
                "key": key,
                "call_id": call_id,
                "kind": kind,
                "parameters": dict(parameters),
                "received_at": now(),
            }
            # PostgreSQL makes the second of two simultaneous deliveries wait here for the first one's commit.
            stored_now = await (await unit.connection()).execute(self._insert(row))
            new = stored_now.first() is not None
            stored = await unit.get_one(ReceivedWebhook, key)
            webhook = Webhook(unit, repeated=not new, answer=stored.answer)
            yield webhook
            if new:
                stored.answer = webhook.answer

    def _insert(self, row: dict[str, Any]) -> ReturningInsert[tuple[str]]:
        """Inserts, and returns the key only if there was no such row."""
        key = col(ReceivedWebhook.key)
        if self._database.sqlite:
            return sqlite.insert(ReceivedWebhook).values(row).on_conflict_do_nothing().returning(key)
        return postgresql.insert(ReceivedWebhook).values(row).on_conflict_do_nothing().returning(key)
