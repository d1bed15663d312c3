"""Doing things: clones, calls, voices, syntheses; and what is said when they cannot be done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from strawberry.relay import GlobalID

from providers.contract import Quota
from studio.states import CallStatus, CloneStatus, SynthesisStatus
from studio.tables import Artefact, Voice
from tests.api.service import WITHIN, Person, Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

ERRORS = "userErrors { field message code }"
START = "mutation ($input: StartCloneInput!) { result: startClone(input: $input) { clone { %s } %s } }"
SPEAK = "mutation ($input: SynthesizeInput!) { result: synthesize(input: $input) { synthesis { %s } %s } }"
LOW = str(GlobalID("Voice", "tone:low"))


async def _start(service: Service, person: Person, **input: Any) -> Any:
    fields = "id name status provider { name } call { id phone status confirmationCode }"
    return (await service.ask(START % (fields, ERRORS), person, input={"name": "My voice", **input}))["result"]


async def _speak(service: Service, person: Person, **input: Any) -> Any:
    return (await service.ask(SPEAK % ("id status text format", ERRORS), person, input=input))["result"]


async def test_a_clone_is_begun_and_called_off(service: Service, ann: Person) -> None:
    started = await _start(service, ann)
    assert started["userErrors"] == []
    clone = started["clone"]
    assert (clone["name"], clone["provider"]["name"], clone["call"]["phone"]) == ("My voice", "tone", "+14155552671")
    assert clone["call"]["confirmationCode"] is None
    cancel = f"mutation ($id: ID!) {{ result: cancelClone(input: {{ id: $id }}) {{ clone {{ status }} {ERRORS} }} }}"
    assert (await service.ask(cancel, ann, id=clone["id"]))["result"]["clone"] == {"status": "CANCELED"}
    again = (await service.ask(cancel, ann, id=clone["id"]))["result"]
    assert (again["clone"], again["userErrors"][0]["code"]) == (None, "WRONG_STATE")


async def test_a_number_used_for_the_first_time_gets_a_code(service: Service) -> None:
    person = await service.person(phone=None)
    clone = (await _start(service, person, phone="+442079460123"))["clone"]
    code = clone["call"]["confirmationCode"]
    assert len(code) == 4
    assert code.isdecimal()
    await service.studio.clones.cancel(person.id, str(GlobalID.from_id(clone["id"]).node_id))


@pytest.mark.parametrize(
    ("input", "field", "code"),
    [
        ({"name": "  "}, "name", "REQUIRED"),
        ({"name": "x" * 100}, "name", "TOO_LONG"),
        ({"phone": "555"}, "phone", "INVALID"),
        ({"phone": "+79161234567"}, "phone", "COUNTRY_NOT_ALLOWED"),
        ({"provider": "nobody"}, "provider", "NOT_FOUND"),
    ],
)
async def test_a_clone_that_has_to_be_mended(
    service: Service, ann: Person, input: dict[str, str], field: str, code: str
) -> None:
    result = await _start(service, ann, **input)
    assert result["clone"] is None
    [error] = result["userErrors"]
    assert (error["field"], error["code"]) == ([field], code)


async def test_what_is_not_set_up_is_said_before_a_phone_rings(service: Service, ann: Person) -> None:
    try:
        service.carrier.missing = "Set TWILIO_ACCOUNT_SID."
        [error] = (await _start(service, ann))["userErrors"]
        assert (error["code"], error["message"], error["field"]) == ("NOT_CONFIGURED", "Set TWILIO_ACCOUNT_SID.", None)
        service.carrier.missing = None
        service.provider.quota = Quota(3, 3, "voice slots")
        [error] = (await _start(service, ann))["userErrors"]
        assert (error["code"], error["field"]) == ("QUOTA", ["provider"])
    finally:
        service.carrier.missing, service.provider.quota = None, None


async def test_calls_are_limited_by_the_hour(service: Service) -> None:
    person = await service.person()
    codes = []
    for _ in range(11):
        result = await _start(service, person)
        codes.append(result["userErrors"][0]["code"] if result["userErrors"] else None)
        if result["clone"]:
            clone_id = str(GlobalID.from_id(result["clone"]["id"]).node_id)
            await service.studio.clones.cancel(person.id, clone_id)
            call_id = GlobalID.from_id(result["clone"]["call"]["id"]).node_id
            async with asyncio.timeout(WITHIN):
                async for call in service.studio.calls.follow(person.id, call_id):
                    assert call is not None
    assert codes == [None] * 10 + ["RATE_LIMITED"]


async def test_hanging_up_ends_the_clone_too(service: Service, bob: Person) -> None:
    person = await service.person(phone="+14155552672")
    clone = await service.ringing_clone(person)
    hang_up = f"mutation ($id: ID!) {{ result: hangUp(input: {{ id: $id }}) {{ call {{ id }} {ERRORS} }} }}"
    call_id = str(GlobalID("Call", str(clone.call_id)))
    assert (await service.ask(hang_up, bob, id=call_id))["result"]["userErrors"][0]["code"] == "NOT_FOUND"
    assert (await service.ask(hang_up, person, id=call_id))["result"] == {"call": {"id": call_id}, "userErrors": []}
    ended = await service.studio.clones.get(person.id, clone.id)
    assert ended is not None
    assert ended.status is CloneStatus.CANCELED
    async with asyncio.timeout(WITHIN):
        async for call in service.studio.calls.follow(person.id, str(clone.call_id)):
            status = call.status
    assert status is CallStatus.CANCELED
    assert (await service.ask(hang_up, person, id=call_id))["result"]["userErrors"][0]["code"] == "WRONG_STATE"


async def test_a_text_is_spoken(service: Service, ann: Person) -> None:
    result = await _speak(service, ann, voiceId=LOW, text=" one two three ", options={"speed": 2.0})
    assert result["userErrors"] == []
    assert (result["synthesis"]["text"], result["synthesis"]["format"]) == ("one two three", "WAV")
    synthesis = await service.studio.speech.get(ann.id, GlobalID.from_id(result["synthesis"]["id"]).node_id)
    assert synthesis is not None
    await service.spoken(synthesis)
    query = "query ($id: ID!) { synthesis(id: $id) { status seconds firstAudioMs voice { name } failure { code } } }"
    done = (await service.ask(query, ann, id=result["synthesis"]["id"]))["synthesis"]
    assert done["status"] == "DONE"
    assert done["seconds"] == pytest.approx(0.15)
    assert done["firstAudioMs"] >= 0
    assert done["voice"] == {"name": "A low tone"}


@pytest.mark.parametrize(
    ("input", "field", "code"),
    [
        ({"text": " "}, ["text"], "REQUIRED"),
        ({"text": "x" * 20_001}, ["text"], "TOO_LONG"),
        ({"voiceId": "nonsense"}, ["voiceId"], "NOT_FOUND"),
        ({"voiceId": str(GlobalID("Clone", "tone:low"))}, ["voiceId"], "NOT_FOUND"),
        ({"voiceId": str(GlobalID("Voice", "tone:none"))}, ["voiceId"], "NOT_FOUND"),
        ({"options": {"topP": 0.5}}, ["options", "topP"], "INVALID"),
        ({"options": {"topP": 1.5}}, ["options", "topP"], "INVALID"),
        ({"options": {"speed": 0.0}}, ["options", "speed"], "INVALID"),
        ({"options": {"seed": 1}}, ["options", "seed"], "INVALID"),
    ],
)
async def test_a_synthesis_that_has_to_be_mended(
    service: Service, ann: Person, input: dict[str, Any], field: list[str], code: str
) -> None:
    result = await _speak(service, ann, **{"voiceId": LOW, "text": "one", **input})
    assert result["synthesis"] is None
    [error] = result["userErrors"]
    assert (error["field"], error["code"]) == (field, code)


async def test_no_value_that_json_can_hold_is_too_odd_to_refuse(service: Service, ann: Person) -> None:
    """A number that is none, a byte that is no character, a very long name."""
    for name in ("\u0000", "\ud7ff", "🏃" * 20, "a\nb"):
        result = await _start(service, ann, name=name, phone="+1")
        assert result["userErrors"][0]["code"] == "INVALID"
    body = b'{"query": "{ viewer { id } }", "variables": {"x": NaN}}'
    answer = await service.http.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


async def test_a_synthesis_is_called_off_and_deleted(service: Service, ann: Person, bob: Person) -> None:
    service.provider.speaking.hold()
    try:
        started = (await _speak(service, ann, voiceId=LOW, text="one two"))["synthesis"]
        fields = f"synthesis {{ status }} {ERRORS}"
        cancel = f"mutation ($id: ID!) {{ result: cancelSynthesis(input: {{ id: $id }}) {{ {fields} }} }}"
        assert (await service.ask(cancel, bob, id=started["id"]))["result"]["userErrors"][0]["code"] == "NOT_FOUND"
        canceled = (await service.ask(cancel, ann, id=started["id"]))["result"]
        assert canceled == {"synthesis": {"status": SynthesisStatus.CANCELED}, "userErrors": []}
    finally:
        service.provider.speaking.open()
    delete = f"mutation ($id: ID!) {{ result: deleteSynthesis(input: {{ id: $id }}) {{ deletedId {ERRORS} }} }}"
    assert (await service.ask(delete, bob, id=started["id"]))["result"]["deletedId"] is None
    assert (await service.ask(delete, ann, id=started["id"]))["result"]["deletedId"] == started["id"]
    assert (await service.ask("query ($id: ID!) { synthesis(id: $id) { id } }", ann, id=started["id"])) == {
        "synthesis": None
    }


async def test_a_voice_is_renamed_and_deleted_at_its_provider_too(service: Service, ann: Person, bob: Person) -> None:
    voice_id = await _voice(service, ann)
    rename = f"""mutation ($id: ID!, $name: String!) {{
        result: renameVoice(input: {{ id: $id, name: $name }}) {{ voice {{ name }} {ERRORS} }} }}"""
    assert (await service.ask(rename, ann, id=voice_id, name="Other"))["result"]["voice"] == {"name": "Other"}
    assert (await service.ask(rename, bob, id=voice_id, name="Mine"))["result"]["userErrors"][0]["code"] == "NOT_FOUND"
    assert (await service.ask(rename, ann, id=LOW, name="Mine"))["result"]["userErrors"][0]["code"] == "NOT_FOUND"

    delete = f"mutation ($id: ID!) {{ result: deleteVoice(input: {{ id: $id }}) {{ deletedId {ERRORS} }} }}"
    assert (await service.ask(delete, bob, id=voice_id))["result"]["deletedId"] is None
    service.provider.deleting.hold()
    assert (await service.ask(delete, ann, id=voice_id))["result"] == {"deletedId": voice_id, "userErrors": []}
    assert (await service.ask("query ($id: ID!) { node(id: $id) { id } }", ann, id=voice_id)) == {"node": None}
    async with asyncio.timeout(WITHIN):
        await service.provider.deleting.reached()
    service.provider.deleting.open()
    assert service.provider.deleted[0].data == b"220"


async def _voice(service: Service, person: Person) -> str:
    clone = await service.finished_clone(person)
    artefact = Artefact(user_id=person.id, provider="tone", kind="tone-pitch", data=b"220")
    async with service.studio.database.transaction() as unit:
        unit.add(artefact)
        await unit.flush()
        voice = Voice(user_id=person.id, name="Mine", provider="tone", clone_id=clone.id, artefact_id=artefact.id)
        unit.add(voice)
    return str(GlobalID("Voice", voice.id))
