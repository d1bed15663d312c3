"""GraphQL over HTTP, WebSocket (graphql-transport-ws) and SSE (graphql-sse), at one address.

HTTP follows the GraphQL-over-HTTP specification (https://graphql.github.io/graphql-over-http/draft/): a client that
accepts `application/graphql-response+json` is told by the status whether its request could be run at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import orjson
import structlog
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError, MissingQueryError
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.base import BaseRequestProtocol
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType
from strawberry.types.unset import UNSET, UnsetType

from api.auth import Denied
from api.context import Context, Services
from api.errors import TROUBLES, trouble_in_words
from api.playground import Playground
from api.schema import schema
from api.streaming import Stream
from api.uploads import is_upload, operations_of
from studio.mistakes import Mistake, MistakeCode

RESPONSE_TYPE: Final = "application/graphql-response+json"
MAX_SUBSCRIPTIONS: Final = 50
"""Operations in progress on one WebSocket."""
CONNECTION_INIT_SECONDS: Final = 10
_STATUS: Final = {MistakeCode.RATE_LIMITED: 429, MistakeCode.AT_CAPACITY: 503}
_log = structlog.get_logger()


class GraphQLEndpoint(GraphQL[Context, None]):
    """An ASGI application for one route, HTTP and WebSocket."""

    def __init__(self, services: Services, playground: Playground, origins: frozenset[str]) -> None:
        """`origins`: those whose pages may open a WebSocket; pages of this host always may."""
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL],
            connection_init_wait_timeout=timedelta(seconds=CONNECTION_INIT_SECONDS),
            max_subscriptions_per_connection=MAX_SUBSCRIPTIONS,
            allowed_origins=sorted(origins),
            multipart_uploads_enabled=True,
        )
        self.graphql_transport_ws_handler_class = _MessageHandler
        self._services = services
        self._playground = playground

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self.run(WebSocket(scope, receive, send))
            return
        request = Request(scope, receive)
        if _wants_page(request):
            response = self._playground.page()
        else:
            response = await self._respond(request)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        try:
            async with self._services.uploads.room(request):
                response = await self.run(request)
        except HTTPException as refusal:
            return _refusal(request, refusal.status_code, refusal.reason)
        except Mistake as mistake:  # before there was an operation to say it of
            return _refusal(request, _STATUS[mistake.code], mistake.message, code=mistake.code.value)
        except TROUBLES as problem:
            code, message = trouble_in_words(problem)
            return _refusal(request, 503, message, code=code)
        except Denied as denied:
            response = _refusal(request, denied.status, denied.message, code="UNAUTHENTICATED")
            if denied.status == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
            return response
        if response.media_type != "application/json":
            return response  # a stream of events
        return _negotiated(request, response)

    # ── what Strawberry asks for ─────────────────────────────────────────────

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        if not isinstance(request, Request) or isinstance(response, WebSocket):
            return Context(self._services, request, None)
        context = Context(self._services, request, response)
        await context.authenticate()
        if is_upload(request.method, request.headers):
            user = await context.viewer()
            if user is None:
                raise Denied(401, "Sign in before you send a file: logIn, or Authorization: Bearer dr_…")
            await self._services.uploads.receive(request, user.id)
        return context

    async def on_ws_connect(self, context: Context) -> UnsetType | dict[str, object] | None:
        try:
            await context.authenticate()
        except Denied as denied:
            raise ConnectionRejectionError from denied
        nothing_to_say: UnsetType = UNSET
        return nothing_to_say

    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        return False  # `__call__` sees to it

    def is_request_allowed(self, request: BaseRequestProtocol) -> bool:
        if request.method not in ("GET", "POST"):
            return False
        if not _acceptable(request.headers.get("accept", "")):
            raise HTTPException(406, f"What is sent here is {RESPONSE_TYPE}, application/json or text/event-stream.")
        streams = "text/event-stream" in _media_types(request.headers.get("accept", ""))
        if streams and is_upload(request.method, request.headers):
            raise HTTPException(406, "A request with a file is answered as JSON, not by a stream of events.")
        return True

    def decode_json(self, data: str | bytes) -> object:
        return orjson.loads(data)

    def encode_json(self, data: object) -> str:
        # Text, since bytes would be sent as binary frames, which the WebSocket protocol does not have.
        return orjson.dumps(data).decode()

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData | list[GraphQLRequestData]:
        textual = request.method == "POST" and not is_upload(request.method, request.headers)
        if textual and (await request.get_body()).lstrip()[:1] not in (b"{", b"["):
            raise HTTPException(400, "The request's body must be a JSON object.")
        data = await super().parse_http_body(request)
        if isinstance(data, GraphQLRequestData) and not isinstance(data.operation_name, str | None):
            raise HTTPException(400, "`operationName` must be a string or null, if provided.")
        return data

    async def parse_multipart(self, request: AsyncHTTPRequestAdapter) -> dict[str, Any]:
        received = await request.get_form_data()  # by `get_context`, as soon as it was known who sends it
        return operations_of(received.form)

    async def execute_single(  # Strawberry's would try to run a subscription as a query
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: Response,
        context: Context,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        reads, writes = {OperationType.QUERY}, {OperationType.QUERY, OperationType.MUTATION}
        try:
            return await self.schema.execute(
                request_data.query,
                root_value=root_value,
                variable_values=request_data.variables,
                context_value=context,
                operation_name=request_data.operation_name,
                allowed_operation_types=reads if request_adapter.method == "GET" else writes,
                operation_extensions=request_data.extensions,
            )
        except MissingQueryError as error:
            raise HTTPException(400, "There is no GraphQL query in the request.") from error
        except CannotGetOperationTypeError as error:
            raise HTTPException(400, error.as_http_error_reason()) from error
        except InvalidOperationTypeError as error:
            if error.operation_type is OperationType.SUBSCRIPTION:
                message = "Subscribe over a WebSocket (graphql-transport-ws) or SSE (Accept: text/event-stream)."
                raise HTTPException(400, message) from error
            raise HTTPException(400, error.as_http_error_reason(request_adapter.method)) from error

    async def create_streaming_response(
        self,
        request: Request | WebSocket,
        stream: Callable[[], AsyncIterator[str]],
        sub_response: Response,
        headers: Mapping[str, str],
    ) -> Response:
        return Stream(stream(), headers={**sub_response.headers, **headers})

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        processed = await super().process_result(request, result)
        if result.data is None and all(error.path is None for error in result.errors or ()):
            # It was never run: there is no data, which is not the same as data that is null.
            del processed["data"]
            request.state.never_run = True
        return processed


class _MessageHandler(BaseGraphQLTransportWSHandler[Context, None]):
    """Strawberry's own fails on messages of a wrong shape, and logs each client that leaves in the middle."""

    async def handle_message(self, message: Any) -> None:
        if not _well_formed(message):
            await self.handle_invalid_message("Failed to parse message")
            return
        await super().handle_message(message)

    async def handle_task_exception(self, error: Exception) -> None:
        if not isinstance(error, WebSocketDisconnected):  # nobody is there to hear the answer
            _log.error("websocket.operation_failed", exc_info=error)


def _well_formed(message: object) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return False
    if message["type"] not in ("subscribe", "complete"):
        return True
    if not isinstance(message.get("id"), str):
        return False
    payload = message.get("payload")
    return message["type"] == "complete" or (
        isinstance(payload, dict)
        and isinstance(payload.get("query"), str)
        and isinstance(payload.get("variables"), dict | None)
        and isinstance(payload.get("operationName"), str | None)
    )


def _media_types(accept: str) -> list[str]:
    """The media types of an Accept header, without their weights."""
    return [part.partition(";")[0].strip().lower() for part in accept.split(",") if part.strip()]


def _wants_page(request: Request) -> bool:
    """Whether a browser was sent here by a person."""
    return (
        request.method == "GET"
        and "query" not in request.query_params
        and "text/html" in _media_types(request.headers.get("accept", ""))
    )


def _acceptable(accept: str) -> bool:
    types = _media_types(accept)
    return not types or any(
        wanted in (RESPONSE_TYPE, "application/json", "text/event-stream", "application/*", "*/*") for wanted in types
    )


def _refusal(request: Request, status: int, message: str, code: str | None = None) -> Response:
    error: dict[str, Any] = {"message": message}
    if code is not None:
        error["extensions"] = {"code": code}
    response = _negotiated(request, JSONResponse({"errors": [error]}, status))
    if status == 405:
        response.headers["Allow"] = "GET, POST"
    if status == 408:
        response.headers["Connection"] = "close"  # RFC 9110, section 15.5.9
    return response


def _negotiated(request: Request, response: Response) -> Response:
    """JSON under the name by which the client asked for it, and with the status that goes with that."""
    if RESPONSE_TYPE in _media_types(request.headers.get("accept", "")):
        response.headers["Content-Type"] = f"{RESPONSE_TYPE}; charset=utf-8"
        if getattr(request.state, "never_run", False):
            response.status_code = 400
    return response
