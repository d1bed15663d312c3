"""How often somebody may sign up, try passwords and send files. Counted in this process."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from time import time

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from studio.mistakes import Mistake, MistakeCode


class Throttle:
    """Limits are written as in "10 per 15 minutes"; windows slide."""

    def __init__(
        self,
        sign_ups_per_address: str = "30 per hour",
        log_ins_per_address: str = "60 per 15 minutes",
        log_ins_per_email: str = "10 per 15 minutes",
        uploads_per_user: str = "20 per hour",
    ) -> None:
        self._sign_ups_per_address = parse(sign_ups_per_address)
        self._log_ins_per_address = parse(log_ins_per_address)
        self._log_ins_per_email = parse(log_ins_per_email)
        self._uploads_per_user = parse(uploads_per_user)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def sign_up(self, address: str) -> None:
        """
        Raises:
            Mistake: RATE_LIMITED.
        """
        await self._count(self._sign_ups_per_address, "sign-up", _neighbourhood(address))

    async def log_in(self, address: str, email: str) -> None:
        """Count a try, before the password is looked at.

        Raises:
            Mistake: RATE_LIMITED.
        """
        await self._count(self._log_ins_per_address, "log-in", _neighbourhood(address))
        await self._count(self._log_ins_per_email, "log-in", _plain(email))

    async def logged_in(self, email: str) -> None:
        """The password was right: earlier tries at this account are forgotten."""
        await self._limiter.clear(self._log_ins_per_email, "log-in", _plain(email))

    async def upload(self, user: str) -> None:
        """Count a file, before any of it is read.

        Raises:
            Mistake: RATE_LIMITED.
        """
        await self._count(self._uploads_per_user, "upload", user)

    async def _count(self, limit: RateLimitItem, what: str, whose: str) -> None:
        if not await self._limiter.hit(limit, what, whose):
            stats = await self._limiter.get_window_stats(limit, what, whose)
            minutes = max(1, ceil((stats.reset_time - time()) / 60))
            raise Mistake(MistakeCode.RATE_LIMITED, f"Too many tries. Wait about {minutes} min, then try again.")


def _plain(email: str) -> str:
    return email.strip().lower()[:254]


def _neighbourhood(address: str) -> str:
    """An IPv6 customer has a whole /64 of addresses."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((ip, 64), strict=False)) if isinstance(ip, IPv6Address) else str(ip)
