"""Scalars of our own, how studio's enumerations are described, and inputs that were left out."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, NewType, TypeVar

import strawberry
from graphql import GraphQLError
from starlette.datastructures import UploadFile
from strawberry.types.scalar import ScalarDefinition

Base64 = NewType("Base64", bytes)
PhoneNumber = NewType("PhoneNumber", str)
Upload = NewType("Upload", UploadFile)

T = TypeVar("T")
E = TypeVar("E", bound=type[Enum])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise GraphQLError('A phone number is written as a string, such as "+14155552671".')
    return value


def _parse_base64(value: object) -> bytes:
    if not isinstance(value, str):
        raise GraphQLError("Base64 is written as a string.")
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:
        raise GraphQLError("This is not Base64 (RFC 4648, section 4).") from error


def _parse_moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError as error:
        raise GraphQLError("Write a moment as in 2026-11-22T17:05:00Z.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _file(value: object) -> UploadFile:
    if not isinstance(value, UploadFile):
        raise GraphQLError("A file comes by a multipart request: a variable is null, and `map` puts the file there.")
    return value


SCALARS: Final[Mapping[object, ScalarDefinition]] = {
    Base64: strawberry.scalar(
        name="Base64",
        description="Base64 text of raw bytes (RFC 4648), for small pieces of audio.",
        serialize=lambda data: base64.b64encode(data).decode("ascii"),
        parse_value=_parse_base64,
    ),
    # Whether a number can be called is said in `userErrors`, where its field is named: any text gets that far.
    PhoneNumber: strawberry.scalar(
        name="PhoneNumber",
        description="An E.164 number, e.g. +14155552671.",
        serialize=str,
        parse_value=_text,
    ),
    Upload: strawberry.scalar(
        name="Upload",
        description="A file: one in a request, by somebody who is signed in. The request is multipart/form-data; a "
        "session's cookie counts only with a header such as X-Requested-With, which no form of another site can send.",
        specified_by_url="https://github.com/jaydenseric/graphql-multipart-request-spec",
        parse_value=_file,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="A moment in UTC, as in 2026-11-22T17:05:00+00:00 (RFC 3339).",
        serialize=lambda moment: moment.isoformat(),
        parse_value=_parse_moment,
    ),
}


def describe(enum: E, name: str, description: str, **values: str) -> E:
    """Make an enumeration one of the schema's, with a description for each of its values.

    Raises:
        KeyError: a value has no description.
    """
    strawberry.enum(enum, name=name, description=description)
    definition: Any = enum
    for value in definition.__strawberry_definition__.values:
        value.description = values[value.name]
    return enum


def given(value: T | None) -> T | None:
    """An input's value; None if it was left out."""
    return None if value is strawberry.UNSET else value
