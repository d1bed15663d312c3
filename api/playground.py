"""The playground that a browser finds at /graphql: GraphiQL, from npm packages that `make setup` installs. No CDN."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

PREFIX: Final = "/playground"
FOLDER: Final = Path(__file__).parents[1] / "client" / "playground"

# The only files that are served, under the names that index.html uses.
_SCRIPT, _STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
_FILES: Final[Mapping[str, tuple[str, str]]] = {
    "react.js": ("node_modules/react/umd/react.production.min.js", _SCRIPT),
    "react-dom.js": ("node_modules/react-dom/umd/react-dom.production.min.js", _SCRIPT),
    "graphiql.js": ("node_modules/graphiql/graphiql.min.js", _SCRIPT),
    "graphiql.css": ("node_modules/graphiql/graphiql.min.css", _STYLE),
    "explorer.js": ("node_modules/@graphiql/plugin-explorer/dist/index.umd.js", _SCRIPT),
    "explorer.css": ("node_modules/@graphiql/plugin-explorer/dist/style.css", _STYLE),
    "playground.js": ("playground.js", _SCRIPT),
    "playground.css": ("playground.css", _STYLE),
}
# The editor sets styles of its elements by script; everything else comes from here.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NOT_SET_UP: Final = """<!doctype html><html lang="en"><title>Deadringer</title>
<h1>The playground is not set up</h1>
<p>Its files are missing. Run <code>make setup</code>, then load this page again.</p>
<p>GraphQL itself works: this address answers POST requests, WebSockets (graphql-transport-ws) and SSE.</p></html>"""


@dataclass(frozen=True, slots=True)
class _Asset:
    content_type: str
    plain: bytes
    zipped: bytes
    etag: str


class Playground:
    """The page and its files. They are read once, when they are first asked for."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._assets: dict[str, _Asset] = {}

    @property
    def set_up(self) -> bool:
        return all((self._folder / path).is_file() for path, _ in _FILES.values())

    def page(self) -> Response:
        if not self.set_up:
            return HTMLResponse(_NOT_SET_UP, 503)
        page = (self._folder / "index.html").read_text("utf-8")
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"})

    async def file(self, request: Request) -> Response:
        """GET `PREFIX/{name}`."""
        name = request.path_params["name"]
        if name not in _FILES or not self.set_up:
            return Response(status_code=404)
        if name not in self._assets:
            path, content_type = _FILES[name]
            self._assets[name] = await asyncio.to_thread(_read, self._folder / path, content_type)
        asset = self._assets[name]
        headers = {"ETag": asset.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if asset.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                asset.zipped, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.content_type
            )
        return Response(asset.plain, headers=headers, media_type=asset.content_type)


def _read(path: Path, content_type: str) -> _Asset:
    plain = path.read_bytes()
    etag = f'"{hashlib.sha256(plain).hexdigest()[:32]}"'
    return _Asset(content_type, plain, gzip.compress(plain, mtime=0), etag)
