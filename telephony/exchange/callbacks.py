"""Status callbacks: beside the call, which does not wait for them, and in order for each call."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from telephony.exchange.errors import CallError
from telephony.exchange.webhooks import Method, WebhookClient

logger = logging.getLogger(__name__)

MAX_WAITING = 64
"""Of one call. An application that is so far behind loses the newest."""


@dataclass(frozen=True, slots=True)
class _Callback:
    url: str
    method: Method
    parameters: Mapping[str, str]


class Callbacks:
    """A queue for each call that has something to tell, delivered by a task of its own."""

    def __init__(self, webhooks: WebhookClient) -> None:
        self._webhooks = webhooks
        self._waiting: dict[str, deque[_Callback]] = {}
        self._delivering: dict[str, asyncio.Task[None]] = {}

    def post(self, call_sid: str, url: str, method: Method, parameters: Mapping[str, str]) -> None:
        waiting = self._waiting.setdefault(call_sid, deque())
        if len(waiting) >= MAX_WAITING:
            logger.warning("call %s: a status callback is dropped, %d others wait", call_sid, len(waiting))
            return
        waiting.append(_Callback(url, method, parameters))
        if call_sid not in self._delivering:
            self._delivering[call_sid] = asyncio.create_task(self._deliver(call_sid, waiting))

    async def close(self, within: float) -> None:
        """Deliver what waits for at most `within` real seconds, and drop the rest."""
        tasks = list(self._delivering.values())
        if tasks:
            await asyncio.wait(tasks, timeout=within)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver(self, call_sid: str, waiting: deque[_Callback]) -> None:
        try:
            while waiting:
                callback = waiting.popleft()
                try:
                    await self._webhooks.send(callback.method, callback.url, callback.parameters)
                except CallError as error:
                    logger.warning("call %s: status callback lost: %d %s", call_sid, error.code, error.message)
        finally:
            del self._waiting[call_sid], self._delivering[call_sid]
