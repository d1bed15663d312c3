"""The schema keeps what clients were promised, and explains itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    DefinitionNode,
    GraphQLSchema,
    build_schema,
    lexicographic_sort_schema,
    parse,
    print_ast,
    print_schema,
)

from api.schema import schema

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OURS: GraphQLSchema = schema._schema


def _definitions(sdl: str) -> Mapping[str, Any]:
    return {definition.name.value: definition for definition in parse(sdl).definitions if hasattr(definition, "name")}


def _said(node: Any) -> str:
    """A field, an argument or an input's field as it is declared, without descriptions."""
    arguments = ", ".join(_said(argument) for argument in getattr(node, "arguments", None) or ())
    default = getattr(node, "default_value", None)
    return (
        f"{node.name.value}{f'({arguments})' if arguments else ''}: {print_ast(node.type)}"
        f"{f' = {print_ast(default)}' if default else ''}"
    )


def _declared(definition: DefinitionNode) -> Iterable[str]:
    """What can be relied on of a type."""
    yield definition.kind
    for interface in getattr(definition, "interfaces", None) or ():
        yield f"implements {interface.name.value}"
    for field in getattr(definition, "fields", None) or ():
        yield _said(field)
    for value in getattr(definition, "values", None) or ():
        yield value.name.value


PROMISED = _definitions((HERE / "contract.graphql").read_text())
DECLARED = _definitions(schema.as_str())


@pytest.mark.parametrize("name", PROMISED)
def test_every_promise_is_kept(name: str) -> None:
    assert name in DECLARED
    assert set(_declared(PROMISED[name])) <= set(_declared(DECLARED[name]))


def test_everything_has_a_description() -> None:
    silent = []
    for type_ in OURS.type_map.values():
        if type_.name.startswith("__"):
            continue
        if not type_.description:
            silent.append(type_.name)
        members = getattr(type_, "fields", None) or getattr(type_, "values", None) or {}
        silent += [f"{type_.name}.{name}" for name, member in members.items() if not member.description]
    assert silent == []


def test_the_exported_schema_is_up_to_date() -> None:
    exported = (ROOT / "docs" / "schema.graphql").read_text()
    assert exported == schema.as_str() + "\n", "run: python -m api.schema > docs/schema.graphql"


def test_the_exported_schema_is_the_one_that_introspection_shows() -> None:
    exported = build_schema(schema.as_str())
    assert print_schema(lexicographic_sort_schema(exported)) == print_schema(lexicographic_sort_schema(OURS))
