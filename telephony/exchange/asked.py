"""A request to the REST API: what it gives, with Twilio's errors for what it gives wrongly, and lists by pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from telephony.exchange.calls import Call
from telephony.exchange.errors import ApiError
from telephony.exchange.exchange import Exchange
from telephony.exchange.recordings import Recording
from telephony.exchange.webhooks import Method, is_http_url

MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """An authenticated request."""

    request: Request
    exchange: Exchange
    form: Mapping[str, Sequence[str]]

    def text(self, name: str, default: str = "") -> str:
        return self.form.get(name, [default])[-1].strip()

    def query(self, name: str) -> str | None:
        return self.request.query_params.get(name) or None

    def url(self, name: str, code: int, default: str = "") -> str:
        """Raises:
        ApiError: `code`, if it is given and no http or https URL.
        """
        url = self.text(name, default)
        if url and not is_http_url(url):
            raise ApiError(400, code, f"{name} is not a valid URL: {url}")
        return url

    def method(self, name: str, default: Method = "POST") -> Method:
        match self.text(name, default).upper():
            case "POST":
                return "POST"
            case "GET":
                return "GET"
        raise ApiError(400, 20001, f"{name} should be GET or POST")

    def seconds(self, name: str, default: int, most: int) -> int:
        text = self.text(name, str(default))
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise ApiError(400, 20001, f"{name} should be a whole number of seconds from 1 to {most}")
        return int(text)

    def call(self) -> Call:
        call = self.exchange.calls.get(self.request.path_params["sid"])
        if call is None:
            raise self.not_found()
        return call

    def recording(self) -> Recording:
        recording = self.exchange.recordings.get(self.request.path_params["sid"])
        with_deleted = (self.query("IncludeSoftDeleted") or "").lower() == "true"
        if recording is None or (recording.status == "deleted" and not with_deleted):
            raise self.not_found()
        return recording

    def not_found(self) -> ApiError:
        return ApiError(404, 20404, f"The requested resource {self.request.url.path} was not found")


def page_of(asked: Asked, key: str, found: Sequence[Mapping[str, object]]) -> Response:
    size = _whole(asked.query("PageSize"), 50, least=1, most=MAX_PAGE)
    page = _whole(asked.query("Page"), 0, least=0, most=10**6)
    shown = found[page * size : (page + 1) * size]
    filters = {name: value for name, value in asked.request.query_params.items() if name not in ("Page", "PageSize")}
    path = asked.request.url.path

    def uri(number: int) -> str:
        return f"{path}?{urlencode({**filters, 'PageSize': size, 'Page': number})}"

    return JSONResponse(
        {
            key: shown,
            "page": page,
            "page_size": size,
            "start": page * size,
            "end": page * size + max(0, len(shown) - 1),
            "uri": uri(page),
            "first_page_uri": uri(0),
            "previous_page_uri": uri(page - 1) if page else None,
            "next_page_uri": uri(page + 1) if len(found) > (page + 1) * size else None,
        }
    )


def _whole(text: str | None, default: int, *, least: int, most: int) -> int:
    if text is None or not text.isdecimal():
        return default
    return min(max(int(text), least), most)
