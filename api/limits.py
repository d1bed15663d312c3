"""How much one GraphQL document may ask for, and the caches that make repeated documents cheap.

Everything here is made once. Strawberry's own limiters, made for each operation as its documentation shows, build new
rule classes every time, which defeats the validation cache; and they walk into a fragment again at every spread, so a
short document of fragments that spread others twice keeps them busy for hours. These walk into each fragment once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    ASTValidationRule,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
)
from strawberry.extensions import (
    AddValidationRules,
    MaxTokensLimiter,
    ParserCache,
    SchemaExtension,
    ValidationCache,
)

from api.errors import ErrorsForClients

MAX_TOKENS: Final = 2_000
MAX_DEPTH: Final = 15  # the introspection query that tools send is 15 deep
MAX_ALIASES: Final = 30
_CACHED_DOCUMENTS: Final = 256


@dataclass(frozen=True, slots=True)
class _Extent:
    """How many fields lie within each other at most, and how many have an alias, counted as often as they are run."""

    depth: int = 0
    aliases: int = 0


class DocumentLimits(ValidationRule):
    """Bounds the depth and the aliases of every operation."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._known: dict[str, _Extent] = {}
        self._fragments = {
            definition.name.value: definition
            for definition in context.document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }

    def enter_operation_definition(self, node: OperationDefinitionNode, *_: Any) -> None:
        extent = self._measure(node.selection_set)
        if extent.depth > MAX_DEPTH:
            message = f"The operation is {extent.depth} fields deep; at most {MAX_DEPTH} are allowed."
            self.report_error(GraphQLError(message, node))
        if extent.aliases > MAX_ALIASES:
            message = f"The operation has {extent.aliases} aliases; at most {MAX_ALIASES} are allowed."
            self.report_error(GraphQLError(message, node))

    def _measure(self, selections: SelectionSetNode | None) -> _Extent:
        depth = aliases = 0
        for selection in selections.selections if selections else ():
            match selection:
                case FieldNode():
                    inner = self._measure(selection.selection_set)
                    depth = max(depth, inner.depth + 1)
                    aliases += inner.aliases + (selection.alias is not None)
                case InlineFragmentNode():
                    inner = self._measure(selection.selection_set)
                    depth, aliases = max(depth, inner.depth), aliases + inner.aliases
                case FragmentSpreadNode():
                    inner = self._measure_fragment(selection.name.value)
                    depth, aliases = max(depth, inner.depth), aliases + inner.aliases
        return _Extent(depth, aliases)

    def _measure_fragment(self, name: str) -> _Extent:
        if name not in self._known:
            self._known[name] = _Extent()  # should it spread itself, another rule says so
            fragment = self._fragments.get(name)
            self._known[name] = self._measure(fragment.selection_set if fragment else None)
        return self._known[name]


class _ParserCache(ParserCache):
    """Strawberry's own lets the error of a document that cannot be parsed out of the wrong place: over a WebSocket or
    SSE nobody catches it. Here that document is left to be parsed where errors are caught."""

    def on_parse(self) -> Iterator[None]:
        with suppress(GraphQLError):
            self.execution_context.graphql_document = self.cached_parse_document(
                self.execution_context.query, **self.execution_context.parse_options
            )
        yield


_RULES: Final[list[type[ASTValidationRule]]] = [DocumentLimits]

EXTENSIONS: Final[list[type[SchemaExtension] | Callable[[], SchemaExtension]]] = [
    ErrorsForClients,
    lambda: MaxTokensLimiter(MAX_TOKENS),
    lambda: AddValidationRules(_RULES),
    lambda: _ParserCache(_CACHED_DOCUMENTS),
    lambda: ValidationCache(_CACHED_DOCUMENTS),
]
