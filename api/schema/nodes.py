"""What has an id, and pages of it (https://relay.dev/graphql/connections.htm)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Generic, TypeAlias, TypeVar

import strawberry
from strawberry.relay import GlobalID
from strawberry.relay.types import GlobalIDValueError
from structlog.contextvars import bind_contextvars

from studio.mistakes import Mistake, MistakeCode
from studio.pages import Page

N = TypeVar("N")
R = TypeVar("R")

First: TypeAlias = Annotated[int | None, strawberry.argument(description="How many: 1 to 100.")]
After: TypeAlias = Annotated[str | None, strawberry.argument(description="The cursor that the page comes after.")]

# Kinds whose ids stand in every log line of the operation.
_LOGGED = {"Call": "call_id", "Clone": "clone_id", "Synthesis": "synthesis_id"}


@strawberry.interface(description="Something that can be fetched again by its id.")
class Node:
    id: strawberry.ID = strawberry.field(description="Opaque, unique over all kinds of nodes, and stable.")


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more follows `endCursor`.")
    has_previous_page: bool = strawberry.field(description="Whether something comes before `startCursor`.")
    start_cursor: str | None = strawberry.field(description="The cursor of the first edge.")
    end_cursor: str | None = strawberry.field(
        description="The cursor of the last edge: ask for the next page `after` it."
    )


@strawberry.type(description="A place in a list.")
class Edge(Generic[N]):
    cursor: str = strawberry.field(description="Ask for what comes `after` it.")
    node: N = strawberry.field(description="What is there.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[N]):
    edges: list[Edge[N]] = strawberry.field(description="In order.")
    page_info: PageInfo = strawberry.field(description="Whether there is more.")


def connection(page: Page[R], node: Callable[[R], N]) -> Connection[N]:
    """A page of rows as a page of nodes."""
    edges = [Edge(cursor=page.cursor_of(item), node=node(item)) for item in page.items]
    return Connection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
    )


def size(first: int | None, default: int) -> int:
    """How many items to put on a page: null means the default."""
    return default if first is None else first


def global_id(kind: str, key: str) -> strawberry.ID:
    """The id of a node, from its type's name and its key within the studio."""
    return strawberry.ID(str(GlobalID(kind, key)))


def parse_id(node_id: str) -> tuple[str, str]:
    """The type's name and the key in a node's id; both empty for what is no id."""
    try:
        parsed = GlobalID.from_id(node_id)
    except GlobalIDValueError:
        return "", ""
    if logged := _LOGGED.get(parsed.type_name):
        bind_contextvars(**{logged: parsed.node_id})
    return parsed.type_name, parsed.node_id


def key_of(kind: str, node_id: str, field: str = "id") -> str:
    """The key in the id of a node of one kind.

    Raises:
        Mistake: NOT_FOUND, for the id of something else, or none.
    """
    found, key = parse_id(node_id)
    if found != kind:
        raise Mistake(MistakeCode.NOT_FOUND, f"There is no such {kind.lower()}.", (field,))
    return key
