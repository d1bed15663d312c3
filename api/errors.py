"""Which errors a GraphQL client is shown, and in which words.

What the caller can mend is said plainly, with a stable `extensions.code`. Anything unexpected stays in the log, under
an id that the client is given.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import structlog
from graphql import GraphQLError
from strawberry.extensions import MaskErrors
from strawberry.utils.str_converters import to_camel_case

from providers.contract import ProviderError
from studio.blobs import StorageFull
from studio.database import AWAY
from studio.mistakes import FailureCode, Mistake, words_for

_log = structlog.get_logger()


class Unauthenticated(GraphQLError):
    """Something was asked for that belongs to somebody, by nobody."""

    def __init__(self) -> None:
        super().__init__(
            "Sign in first: logIn, or an API token in the header Authorization: Bearer dr_…",
            extensions={"code": "UNAUTHENTICATED"},
        )


TROUBLES: Final = (StorageFull, *AWAY)
"""What is raised where the service lacks what it needs to work: room on its disk, or the database."""


def trouble_in_words(trouble: Exception) -> tuple[str, str]:
    """The code and the message of one of `TROUBLES`."""
    if isinstance(trouble, StorageFull):
        return "STORAGE_FULL", words_for(FailureCode.STORAGE_FULL)[0]
    return "UNAVAILABLE", "The service's database does not answer just now. Try again in a moment."


def field_path(mistake: Mistake) -> list[str] | None:
    """The path of the input field that a mistake is about, as clients write it."""
    return [to_camel_case(name) for name in mistake.field] if mistake.field else None


class ErrorsForClients(MaskErrors):
    """A schema extension; one is made for each operation."""

    def __init__(self) -> None:
        super().__init__(should_mask_error=_needs_other_words)

    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        cause = error.original_error
        if isinstance(cause, Mistake):
            extensions: dict[str, Any] = {"code": cause.code.value}
            if path := field_path(cause):
                extensions["field"] = path
            return _reworded(error, cause.message, extensions)
        if isinstance(cause, ProviderError):  # its words are for users
            return _reworded(error, str(cause), {"code": "PROVIDER_UNAVAILABLE"})
        if isinstance(cause, TROUBLES):
            code, message = trouble_in_words(cause)
            _log.warning("graphql.unavailable", code=code, path=error.path, problem=str(cause))
            return _reworded(error, message, {"code": code})
        error_id = secrets.token_hex(6)
        _log.error("graphql.failed", error_id=error_id, path=error.path, exc_info=cause)
        message = f"Something went wrong on our side (error id {error_id})."
        return _reworded(error, message, {"code": "INTERNAL", "errorId": error_id})


def _needs_other_words(error: GraphQLError) -> bool:
    # Without a cause, or with one that was made to be read, it is about the request itself: syntax, types, values.
    return error.original_error is not None and not isinstance(error.original_error, GraphQLError)


def _reworded(error: GraphQLError, message: str, extensions: dict[str, Any]) -> GraphQLError:
    return GraphQLError(message, nodes=error.nodes, path=error.path, extensions=extensions)
