"""Reading: the viewer's own things, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from strawberry.relay import GlobalID

from studio.states import CallStatus
from studio.tables import Artefact, Clone, Consent, Recording, Synthesis, Voice
from tests.api.service import Person, Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_nobody_is_nobody(service: Service) -> None:
    assert await service.ask("{ viewer { id } }") == {"viewer": None}


async def test_the_viewer_is_whose_token_it_is(service: Service, ann: Person) -> None:
    viewer = (await service.ask("{ viewer { email phone phoneProven apiTokens { label lastUsedAt } } }", ann))["viewer"]
    assert (viewer["email"], viewer["phone"], viewer["phoneProven"]) == (ann.email, "+14155552671", True)
    assert [token["label"] for token in viewer["apiTokens"]] == ["tests"]


@pytest.mark.parametrize(
    "query",
    [
        "{ node(id: $id) { id } }",
        "{ clone(id: $id) { id } }",
        "{ call(id: $id) { id } }",
        "{ synthesis(id: $id) { id } }",
        "{ voices { edges { cursor } } }",
    ],
)
async def test_what_belongs_to_somebody_wants_a_sign_in(service: Service, query: str) -> None:
    [error] = await service.errors(query.replace("$id", '"x"'))
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert "logIn" in error["message"]


async def test_every_kind_of_thing_is_found_by_its_id_and_only_by_its_owner(
    service: Service, ann: Person, bob: Person
) -> None:
    synthesis = await service.speak(ann, "one")
    clone, voice = await _cloned_voice(service, ann)
    [token] = await service.studio.accounts.tokens(ann.id)
    things = {
        "User": ann.id,
        "ApiToken": token.id,
        "Clone": clone.id,
        "Call": clone.call_id,
        "Voice": voice.id,
        "Synthesis": synthesis.id,
    }
    for kind, key in things.items():
        node_id = str(GlobalID(kind, str(key)))
        query = "query ($id: ID!) { node(id: $id) { __typename id } }"
        assert await service.ask(query, ann, id=node_id) == {"node": {"__typename": kind, "id": node_id}}
        assert await service.ask(query, bob, id=node_id) == {"node": None}
        if kind in ("Clone", "Call", "Synthesis"):
            query = f"query ($id: ID!) {{ found: {kind.lower()}(id: $id) {{ id }} }}"
            assert await service.ask(query, ann, id=node_id) == {"found": {"id": node_id}}
            assert await service.ask(query, bob, id=node_id) == {"found": None}


@pytest.mark.parametrize("node_id", ["", "nonsense", "Q2xvbmU6", str(GlobalID("Provider", "tone")), "é" * 100])
async def test_an_id_that_is_none_finds_nothing(service: Service, ann: Person, node_id: str) -> None:
    query = "query ($id: ID!) { node(id: $id) { id } clone(id: $id) { id } }"
    assert await service.ask(query, ann, id=node_id) == {"node": None, "clone": None}


async def test_a_built_in_voice_is_a_node(service: Service, ann: Person) -> None:
    query = """query ($id: ID!) { node(id: $id) {
        ... on Voice { name origin language tags provider { name } clone { id } createdAt } } }"""
    voice = (await service.ask(query, ann, id=str(GlobalID("Voice", "tone:low"))))["node"]
    assert voice == {
        "name": "A low tone",
        "origin": "BUILT_IN",
        "language": "en-US",
        "tags": ["<beep>"],
        "provider": {"name": "tone"},
        "clone": None,
        "createdAt": None,
    }


async def test_voices_come_in_pages_cloned_ones_first(service: Service, ann: Person) -> None:
    for name in ("first", "second", "third"):
        await _cloned_voice(service, ann, name)
    query = """query ($after: String) { voices(first: 2, after: $after) {
        edges { cursor node { name origin } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
    names: list[str] = []
    after, pages = None, 0
    while True:
        page = (await service.ask(query, ann, after=after))["voices"]
        names += [edge["node"]["name"] for edge in page["edges"]]
        info = page["pageInfo"]
        assert info["startCursor"] == page["edges"][0]["cursor"]
        assert info["hasPreviousPage"] == (after is not None)
        pages += 1
        after = info["endCursor"]
        if not info["hasNextPage"]:
            break
    assert names == ["third", "second", "first", "A low tone", "A high tone"]
    assert pages == 3
    own = (await service.ask("{ viewer { voices { edges { node { name } } } } }", ann))["viewer"]["voices"]
    assert [edge["node"]["name"] for edge in own["edges"]] == ["third", "second", "first"]


async def test_voices_by_capability_and_provider(service: Service, ann: Person) -> None:
    query = """query ($capability: Capability, $provider: String) {
        voices(capability: $capability, provider: $provider) { edges { node { name } } } }"""

    async def count(**variables: Any) -> int:
        return len((await service.ask(query, ann, **variables))["voices"]["edges"])

    assert await count() == await count(capability="SYNTHESIZE") == await count(provider="tone") == 2
    assert await count(capability="CONVERSE") == await count(provider="another") == 0


@pytest.mark.parametrize(
    ("argument", "field"), [("first: 0", "first"), ("first: 101", "first"), ('after: "zzz"', "after")]
)
async def test_a_page_that_cannot_be(service: Service, ann: Person, argument: str, field: str) -> None:
    for query in (f"{{ voices({argument}) {{ edges {{ cursor }} }} }}",
                  f"{{ viewer {{ clones({argument}) {{ edges {{ cursor }} }} }} }}"):  # fmt: skip
        [error] = await service.errors(query, ann)
        assert error["extensions"] == {"code": "INVALID", "field": [field]}


async def test_a_page_without_size_has_the_default_one(service: Service, ann: Person) -> None:
    await service.finished_clone(ann)
    query = "{ viewer { clones(first: null) { edges { node { name } } } } }"
    assert len((await service.ask(query, ann))["viewer"]["clones"]["edges"]) == 1


async def test_a_list_costs_as_many_statements_however_long_it_is(service: Service, ann: Person, bob: Person) -> None:
    query = """{ viewer { clones(first: 50) { edges { node {
        call { status } consent { how } recording { seconds } voice { name clone { name } } } } } } }"""
    counts = []
    for person, clones in ((ann, 2), (bob, 12)):
        for _ in range(clones):
            await _cloned_voice(service, person)
        with _statements(service) as statements:
            edges = (await service.ask(query, person))["viewer"]["clones"]["edges"]
        assert len(edges) == clones
        assert all(edge["node"]["voice"]["clone"]["name"] == "My voice" for edge in edges)
        assert all(edge["node"]["consent"]["how"] == "pressed 1" for edge in edges)
        counts.append(len(statements))
    assert counts[0] == counts[1]


async def test_what_a_clone_tells(service: Service, ann: Person) -> None:
    clone, _ = await _cloned_voice(service, ann)
    query = """query ($id: ID!) { clone(id: $id) { name status statusChangedAt createdAt failure { code }
        provider { name title }
        call { purpose direction phone status seconds sid confirmationCode startedAt }
        consent { how wording givenAt }
        recording { seconds speechSeconds signalToNoiseDb clippedFraction qualityScore cleaned warnings url }
        voice { name similarity origin } } }"""
    found = (await service.ask(query, ann, id=str(GlobalID("Clone", clone.id))))["clone"]
    assert found["status"] == "READY"
    assert found["call"]["phone"] == "+14155552671"
    assert found["call"]["status"] == CallStatus.COMPLETED
    assert found["recording"]["warnings"] == ["a little quiet"]
    assert "/audio/recordings/" in found["recording"]["url"]
    assert found["voice"] == {"name": "My voice", "similarity": 0.5, "origin": "CLONED"}
    assert found["createdAt"].endswith("+00:00")


async def test_what_is_deleted_is_null_where_others_point_to_it(service: Service, ann: Person) -> None:
    clone, voice = await _cloned_voice(service, ann)
    synthesis = Synthesis(user_id=ann.id, voice_key=voice.id, text="one")
    async with service.studio.database.transaction() as unit:
        unit.add(synthesis)
        (await unit.get_one(Voice, voice.id)).deleted_at = clone.created_at
    query = """query ($clone: ID!, $synthesis: ID!) {
        clone(id: $clone) { voice { id } } synthesis(id: $synthesis) { voice { id } text } }"""
    ids = {"clone": str(GlobalID("Clone", clone.id)), "synthesis": str(GlobalID("Synthesis", synthesis.id))}
    assert await service.ask(query, ann, **ids) == {
        "clone": {"voice": None},
        "synthesis": {"voice": None, "text": "one"},
    }


async def _cloned_voice(service: Service, person: Person, name: str = "My voice") -> tuple[Clone, Voice]:
    """A clone from the past with everything that belongs to it."""
    clone = await service.finished_clone(person, name)
    artefact = Artefact(user_id=person.id, provider="tone", kind="tone-pitch", data=b"220")
    async with service.studio.database.transaction() as unit:
        unit.add(artefact)
        await unit.flush()
        voice = Voice(
            user_id=person.id,
            name=name,
            provider="tone",
            similarity=0.5,
            clone_id=clone.id,
            artefact_id=artefact.id,
        )
        unit.add(voice)
        unit.add(Consent(user_id=person.id, clone_id=clone.id, how="pressed 1", wording="Hello."))
        unit.add(
            Recording(
                user_id=person.id,
                clone_id=clone.id,
                take=1,
                kept=True,
                blob="00/" + "0" * 32 + ".wav",
                warnings=["a little quiet"],
            )
        )
        row = await unit.get_one(Clone, clone.id)
        row.voice_id, row.status = voice.id, row.status.__class__.READY
    return clone, voice


@contextmanager
def _statements(service: Service) -> Iterator[list[str]]:
    """The SQL that is sent, without what workflows send."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT") and "executors" not in statement:
            seen.append(statement)

    engine = service.studio.database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)
