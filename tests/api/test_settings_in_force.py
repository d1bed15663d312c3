"""What depends on how the service was set up: how often passwords may be tried, https, other sites."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie
from pathlib import Path

import httpx

from api.throttle import Throttle
from tests.api.service import LOG_IN, PASSWORD, SIGN_UP, running_service, unique_email


async def test_tries_at_passwords_are_limited_by_address_and_by_account(tmp_path: Path) -> None:
    throttle = Throttle(log_ins_per_email="3 per hour", log_ins_per_address="6 per hour")
    async with running_service(tmp_path, throttle) as service:
        _, email = await service.signed_up()

        async def code(address: str, password: str) -> str | None:
            result = await service.browser().do(LOG_IN, input={"email": address, "password": password})
            return result["userErrors"][0]["code"] if result["userErrors"] else None

        assert [await code(email, "wrong") for _ in range(2)] == ["NOT_ALLOWED"] * 2
        assert await code(email, PASSWORD) is None  # which forgets the tries before it
        assert [await code(email, "wrong") for _ in range(2)] == ["NOT_ALLOWED"] * 2
        assert await code(unique_email(), "wrong") == "NOT_ALLOWED"
        assert await code(email, PASSWORD) == "RATE_LIMITED"


async def test_an_account_stays_closed_to_guessing_from_elsewhere(tmp_path: Path) -> None:
    async with running_service(tmp_path, Throttle(log_ins_per_email="2 per hour")) as service:
        _, email = await service.signed_up()
        for password in ("wrong", "also wrong"):
            await service.browser().do(LOG_IN, input={"email": email, "password": password})
        result = await service.browser().do(LOG_IN, input={"email": f" {email.upper()}", "password": PASSWORD})
        [error] = result["userErrors"]
        assert error["code"] == "RATE_LIMITED"
        assert re.search(r"Wait about [1-9]\d* min", error["message"])


async def test_sign_ups_are_limited_by_address(tmp_path: Path) -> None:
    async with running_service(tmp_path, Throttle(sign_ups_per_address="1 per hour")) as service:
        await service.signed_up()
        result = await service.browser().do(SIGN_UP, input={"email": unique_email(), "password": PASSWORD})
        assert result["userErrors"][0]["code"] == "RATE_LIMITED"


async def test_over_https_the_cookie_is_for_this_host_and_https_only(tmp_path: Path) -> None:
    async with running_service(tmp_path, public_base_url="https://voices.example.com") as service:
        content = {"query": SIGN_UP, "variables": {"input": {"email": unique_email(), "password": PASSWORD}}}
        answer = await service.http.post("/graphql", json=content)
    cookie = SimpleCookie(answer.headers["set-cookie"])["__Host-session"]
    assert cookie["secure"]
    assert answer.headers["strict-transport-security"]


async def test_a_cookie_counts_from_our_own_and_allowed_origins(tmp_path: Path) -> None:
    origins = [
        (None, True),
        ("own", True),
        ("http://localhost:8000", True),  # PUBLIC_BASE_URL
        ("https://app.example.com", True),
        ("https://APP.example.com:443", True),
        ("https://evil.example.com", False),
        ("http://app.example.com", False),
        ("null", False),
    ]
    async with running_service(tmp_path, allowed_origins="https://app.example.com") as service:
        ann = await service.person()
        cookies = {"session": await service.studio.accounts.open_session(ann.id)}
        for origin, allowed in origins:
            headers = {"Origin": service.url if origin == "own" else origin} if origin else {}
            async with httpx.AsyncClient(base_url=service.url, cookies=cookies) as client:
                answer = await client.post("/graphql", json={"query": "{ viewer { email } }"}, headers=headers)
            assert answer.status_code == (200 if allowed else 403), origin
            assert ("data" in answer.json()) is allowed


async def test_only_allowed_origins_may_read_answers(tmp_path: Path) -> None:
    async with running_service(tmp_path, allowed_origins="https://app.example.com") as service:
        for origin, allowed in (("https://app.example.com", True), ("https://evil.example.com", False)):
            asked = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type,x-requested-with",
            }
            preflight = await service.http.options("/graphql", headers=asked)
            assert (preflight.headers.get("access-control-allow-origin") == origin) is allowed
            assert (preflight.status_code == 200) is allowed
