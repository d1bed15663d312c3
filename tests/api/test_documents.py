"""What a GraphQL document may ask for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from graphql import ExecutableDefinitionsRule, get_introspection_query, parse, specified_rules, validate

from api.limits import MAX_ALIASES, MAX_DEPTH, MAX_TOKENS, DocumentLimits
from api.schema import schema
from tests.api.service import Person, Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _messages(document: str) -> list[str]:
    return [error.message for error in validate(schema._schema, parse(document), [DocumentLimits])]


def _nested(depth: int) -> str:
    """A query of that many fields within each other."""
    pair = "voice { clone { "
    inner = "".join(pair for _ in range((depth - 5) // 2))
    closing = "} }" * ((depth - 5) // 2)
    return f"{{ viewer {{ clones {{ edges {{ node {{ {inner} id {closing} }} }} }} }} }}"


async def test_the_introspection_query_of_tools_is_allowed(service: Service) -> None:
    for options in ({}, {"descriptions": False}, {"input_value_deprecation": True, "specified_by_url": True}):
        answer = await service.post(get_introspection_query(**options))
        assert answer.json()["data"]["__schema"]["queryType"]["name"] == "Query"


async def test_an_operation_is_only_so_deep(service: Service, ann: Person) -> None:
    await service.ask(_nested(MAX_DEPTH), ann)
    [error] = await service.errors(_nested(MAX_DEPTH + 2), ann)
    assert f"at most {MAX_DEPTH}" in error["message"]


async def test_fragments_do_not_hide_depth_or_aliases() -> None:
    deep = "{ viewer { clones { edges { node { ...a } } } } } "
    for name, following in zip("abcdef", "bcdefg", strict=True):
        deep += f"fragment {name} on Clone {{ voice {{ clone {{ ...{following} }} }} }} "
    deep += "fragment g on Clone { id }"
    assert _messages(deep) == [f"The operation is 17 fields deep; at most {MAX_DEPTH} are allowed."]

    many = "{ ...a ...a ...a ...a } fragment a on Query { " + " ".join(f"f{n}: __typename" for n in range(10)) + " }"
    assert _messages(many) == [f"The operation has 40 aliases; at most {MAX_ALIASES} are allowed."]


async def test_fragments_that_double_each_other_take_no_time() -> None:
    """60 of them would be walked 2^60 times by a rule that forgets where it has been."""
    names = [f"f{n}" for n in range(61)]
    document = "{ ...f0 } " + " ".join(
        f"fragment {name} on Query {{ ...{following} ...{following} a: __typename }}"
        for name, following in pairwise(names)
    )
    document += " fragment f60 on Query { __typename }"
    assert len(_messages(document)) == 1  # 2^60 - 1 aliases


async def test_what_is_wrong_otherwise_is_left_to_other_rules(service: Service) -> None:
    for document in (
        "{ ...missing }",
        "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
        "type Query { a: Int }",
    ):
        assert _messages(document) == []
        assert await service.errors(document)
    assert ExecutableDefinitionsRule in specified_rules


async def test_a_document_has_only_so_many_tokens(service: Service) -> None:
    [error] = await service.errors("{ " + "viewer { id } " * (MAX_TOKENS // 4) + "}")
    assert f"{MAX_TOKENS} tokens" in error["message"]


@pytest.mark.parametrize("document", ["{" * 900, "query ($a: " + "[" * 900, "{ node(id: " + "[" * 900])
async def test_what_is_nested_too_deeply_to_be_read_is_refused_in_words(service: Service, document: str) -> None:
    [error] = await service.errors(document)
    assert "nested" in error["message"] or "Syntax Error" in error["message"]
    assert "errorId" not in error.get("extensions", {})


async def test_introspection_does_not_multiply(service: Service) -> None:
    query = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }"
    assert await service.errors(query)
