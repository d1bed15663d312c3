"""When a cookie counts, and what is said to credentials that do not."""

from __future__ import annotations

import httpx
import pytest
import pytest_asyncio

from api.auth import PREFLIGHTED
from tests.api.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUERY = "{ viewer { email } }"


@pytest_asyncio.fixture(loop_scope="module")
async def cookies(service: Service) -> dict[str, str]:
    ann = await service.person()
    return {"session": await service.studio.accounts.open_session(ann.id)}


async def _status(service: Service, request: httpx.Request) -> tuple[int, bool]:
    """The status of the answer, and whether it was given to somebody."""
    async with httpx.AsyncClient() as client:
        answer = await client.send(request)
    return answer.status_code, bool((answer.json().get("data") or {}).get("viewer"))


@pytest.mark.parametrize("name", [*PREFLIGHTED, "content-type"])
async def test_a_cookie_counts_where_other_sites_pages_cannot_ask(
    service: Service, cookies: dict[str, str], name: str
) -> None:
    headers = {name: "application/json"}
    request = httpx.Request("GET", f"{service.url}/graphql", params={"query": QUERY}, headers=headers, cookies=cookies)
    assert await _status(service, request) == (200, True)


async def test_a_cookie_counts_where_the_browser_vouches_for_the_page(
    service: Service, cookies: dict[str, str]
) -> None:
    url = f"{service.url}/graphql"
    for site, expected in (("same-origin", (200, True)), ("cross-site", (403, False)), ("same-site", (403, False))):
        request = httpx.Request("GET", url, params={"query": QUERY}, headers={"Sec-Fetch-Site": site}, cookies=cookies)
        assert await _status(service, request) == expected


async def test_a_request_that_any_page_could_make_gets_no_answer(service: Service, cookies: dict[str, str]) -> None:
    request = httpx.Request("GET", f"{service.url}/graphql", params={"query": QUERY}, cookies=cookies)
    assert await _status(service, request) == (403, False)
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        request = httpx.Request(
            "POST",
            f"{service.url}/graphql",
            content='{"query": "{ viewer { email } }"}',
            headers={"Content-Type": content_type},
            cookies=cookies,
        )
        status, answered = await _status(service, request)
        assert status in (400, 403)
        assert not answered


@pytest.mark.parametrize("authorization", ["Bearer dr_nonsense", "Bearer", "Basic YTpi", "dr_nonsense"])
async def test_a_credential_that_is_none_is_refused_in_words(service: Service, authorization: str) -> None:
    answer = await service.http.post("/graphql", json={"query": QUERY}, headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
    assert "token" in answer.json()["errors"][0]["message"]


async def test_a_session_that_has_ended_is_nobodys(service: Service) -> None:
    request = httpx.Request("POST", f"{service.url}/graphql", json={"query": QUERY}, cookies={"session": "long-gone"})
    assert await _status(service, request) == (200, False)
