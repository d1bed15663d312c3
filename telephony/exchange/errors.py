"""What goes wrong, in Twilio's numbers (https://www.twilio.com/docs/api/errors)."""

from __future__ import annotations

MORE_INFO = "https://www.twilio.com/docs/errors/{code}"


class ApiError(Exception):
    """A request to the REST API that is refused: the HTTP status, Twilio's code, and words for a developer."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def body(self) -> dict[str, object]:
        """Shaped as Twilio's error bodies are."""
        return {
            "code": self.code,
            "message": self.message,
            "more_info": MORE_INFO.format(code=self.code),
            "status": self.status,
        }


class CallError(Exception):
    """The application's webhook or TwiML is at fault, so that the call cannot go on as told."""

    def __init__(self, code: int, message: str, url: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.url = url
        """Of the document at fault, or empty where the instructions came with the call."""


INVALID_URL = 11100
HTTP_RETRIEVAL_FAILURE = 11200
HTTP_CONNECTION_FAILURE = 11205
RESPONSE_TOO_LARGE = 11750
DOCUMENT_PARSE_FAILURE = 12100
SCHEMA_VIOLATION = 12200
INVALID_CONTENT_TYPE = 12300
EXCHANGE_FAILURE = 20500
