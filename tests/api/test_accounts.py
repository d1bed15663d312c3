"""Signing up, in and out; phones; API tokens; the end of an account."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest

from tests.api.service import LOG_IN, PASSWORD, SIGN_UP, Person, Service, unique_email

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOG_OUT = "mutation ($everywhere: Boolean) { logOut(input: { everywhere: $everywhere }) { userErrors { code } } }"


async def test_signing_up_signs_in(service: Service) -> None:
    browser, email = await service.signed_up(phone="+1 415 555 2671")
    assert await browser.viewer() == {"email": email}
    assert (await browser.http.post("/graphql", json={"query": "{ viewer { phone phoneProven } }"})).json() == {
        "data": {"viewer": {"phone": "+14155552671", "phoneProven": False}}
    }


async def test_the_session_cookie_is_kept_from_scripts_and_other_sites(service: Service) -> None:
    content = {"query": SIGN_UP, "variables": {"input": {"email": unique_email(), "password": PASSWORD}}}
    answer = await service.http.post("/graphql", json=content)
    service.http.cookies.clear()
    cookie = SimpleCookie(answer.headers["set-cookie"])["session"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "lax"
    assert cookie["path"] == "/"
    assert not cookie["secure"]
    assert int(cookie["max-age"]) == 30 * 24 * 3600
    # Only its hash is kept.
    assert cookie.value.encode() not in (service.settings.data_dir / "deadringer.sqlite").read_bytes()


@pytest.mark.parametrize(
    ("more", "field", "code"),
    [
        ({"email": "nonsense"}, "email", "INVALID"),
        ({"email": "a" * 300 + "@example.com"}, "email", "TOO_LONG"),
        ({"password": "short"}, "password", "INVALID"),
        ({"password": "x" * 500}, "password", "TOO_LONG"),
        ({"phone": "12345"}, "phone", "INVALID"),
        ({"phone": "+4"}, "phone", "INVALID"),
        ({"phone": "+79161234567"}, "phone", "COUNTRY_NOT_ALLOWED"),
    ],
)
async def test_a_sign_up_that_has_to_be_mended(service: Service, more: dict[str, str], field: str, code: str) -> None:
    browser = service.browser()
    result = await browser.do(SIGN_UP, input={"email": unique_email(), "password": PASSWORD, **more})
    assert result["user"] is None
    [error] = result["userErrors"]
    assert (error["field"], error["code"]) == ([field], code)
    assert await browser.viewer() is None


async def test_an_address_is_taken_once_whatever_its_case(service: Service) -> None:
    _, email = await service.signed_up()
    result = await service.browser().do(SIGN_UP, input={"email": email.upper(), "password": PASSWORD})
    assert result["userErrors"][0]["code"] == "TAKEN"


async def test_logging_in_and_out(service: Service) -> None:
    _, email = await service.signed_up()
    browser = service.browser()
    assert (await browser.do(LOG_IN, input={"email": email, "password": PASSWORD}))["user"]["email"] == email
    assert await browser.viewer() == {"email": email}
    kept = dict(browser.http.cookies)
    assert await browser.do(LOG_OUT) == {"userErrors": []}
    assert "session" not in browser.http.cookies
    assert await browser.viewer() is None
    # Nor does the old cookie sign anybody in.
    browser.http.cookies.update(kept)
    assert await browser.viewer() is None


async def test_logging_in_again_ends_the_session_before(service: Service) -> None:
    browser, email = await service.signed_up()
    before = dict(browser.http.cookies)
    await browser.do(LOG_IN, input={"email": email, "password": PASSWORD})
    assert await browser.viewer() == {"email": email}
    thief = service.browser()
    thief.http.cookies.update(before)
    assert await thief.viewer() is None


async def test_logging_out_everywhere(service: Service) -> None:
    one, email = await service.signed_up()
    other = service.browser()
    await other.do(LOG_IN, input={"email": email, "password": PASSWORD})
    await one.do(LOG_OUT, everywhere=True)
    assert await one.viewer() is None
    assert await other.viewer() is None


async def test_wrong_address_and_wrong_password_look_alike(service: Service) -> None:
    _, email = await service.signed_up()
    wrong = await service.browser().do(LOG_IN, input={"email": email, "password": "not this one"})
    unknown = await service.browser().do(LOG_IN, input={"email": unique_email(), "password": PASSWORD})
    assert wrong == unknown
    assert wrong["userErrors"][0]["code"] == "NOT_ALLOWED"


async def test_another_phone_has_to_be_proven(service: Service, ann: Person) -> None:
    fields = "user { phone phoneProven } userErrors { field code }"
    mutation = f"mutation ($p: PhoneNumber!) {{ setPhone(input: {{ phone: $p }}) {{ {fields} }} }}"
    result = (await service.ask(mutation, ann, p="+442079460123"))["setPhone"]
    assert result["user"] == {"phone": "+442079460123", "phoneProven": False}
    result = (await service.ask(mutation, ann, p="07"))["setPhone"]
    assert (result["user"], result["userErrors"][0]["field"]) == (None, ["phone"])


async def test_a_token_is_shown_once_and_ends_when_revoked(service: Service) -> None:
    browser, email = await service.signed_up()
    create = 'mutation { createApiToken(input: { label: "ci" }) { token { id label } secret } }'
    made = await browser.do(create)
    assert made["secret"].startswith("dr_")
    headers = {"Authorization": f"Bearer {made['secret']}"}
    program = await service.http.post("/graphql", json={"query": "{ viewer { email } }"}, headers=headers)
    assert program.json()["data"]["viewer"]["email"] == email
    assert made["secret"].encode() not in (service.settings.data_dir / "deadringer.sqlite").read_bytes()

    revoke = "mutation ($id: ID!) { revokeApiToken(input: { id: $id }) { revokedId } }"
    assert (await browser.do(revoke, id=made["token"]["id"]))["revokedId"] == made["token"]["id"]
    refused = await service.http.post("/graphql", json={"query": "{ viewer { email } }"}, headers=headers)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_nobody_revokes_another_ones_token(service: Service, ann: Person, bob: Person) -> None:
    ids = (await service.ask("{ viewer { apiTokens { id } } }", ann))["viewer"]["apiTokens"]
    revoke = "mutation ($id: ID!) { revokeApiToken(input: { id: $id }) { revokedId userErrors { field code } } }"
    result = (await service.ask(revoke, bob, id=ids[0]["id"]))["revokeApiToken"]
    assert (result["revokedId"], result["userErrors"][0]["code"]) == (None, "NOT_FOUND")
    assert len((await service.ask("{ viewer { apiTokens { id } } }", ann))["viewer"]["apiTokens"]) == 1


async def test_a_token_has_no_session_to_log_out_of(service: Service, ann: Person) -> None:
    result = (await service.ask("mutation { logOut(input: {}) { userErrors { code } } }", ann))["logOut"]
    assert result == {"userErrors": [{"code": "WRONG_STATE"}]}


async def test_an_account_is_deleted_by_its_password_only(service: Service) -> None:
    browser, email = await service.signed_up()
    delete = "mutation ($input: DeleteAccountInput!) { deleteAccount(input: $input) { userErrors { field code } } }"
    assert (await browser.do(delete, input={"password": "wrong"}))["userErrors"][0]["field"] == ["password"]
    assert await browser.viewer() == {"email": email}
    assert await browser.do(delete, input={"password": PASSWORD}) == {"userErrors": []}
    assert await browser.viewer() is None
    again = await service.browser().do(LOG_IN, input={"email": email, "password": PASSWORD})
    assert again["userErrors"][0]["code"] == "NOT_ALLOWED"
    # The address is free again.
    assert (await service.browser().do(SIGN_UP, input={"email": email, "password": PASSWORD}))["user"]["email"] == email


@pytest.mark.parametrize(
    "mutation",
    [
        'setPhone(input: { phone: "+14155552671" })',
        'createApiToken(input: { label: "x" })',
        'revokeApiToken(input: { id: "x" })',
        'deleteAccount(input: { password: "x" })',
        "logOut(input: {})",
        'startClone(input: { name: "x" })',
        'cancelClone(input: { id: "x" })',
        'renameVoice(input: { id: "x", name: "x" })',
        'deleteVoice(input: { id: "x" })',
        'hangUp(input: { id: "x" })',
        'synthesize(input: { voiceId: "x", text: "x" })',
        'cancelSynthesis(input: { id: "x" })',
        'deleteSynthesis(input: { id: "x" })',
    ],
)
async def test_every_mutation_but_two_wants_a_sign_in(service: Service, mutation: str) -> None:
    [error] = await service.errors(f"mutation {{ {mutation} {{ userErrors {{ code }} }} }}")
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
