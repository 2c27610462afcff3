"""A REST API method with a streaming Lambda integration streams.

MiniStack does not know ``.../response-streaming-invocations`` (500 ``API_CONFIGURATION_ERROR``) and buffers whatever a function
posts to the Runtime API. On AWS the function's answer starts with a JSON prelude (status, headers, cookies) and eight NUL
bytes; API Gateway answers as soon as it has them and passes on what follows as it comes. A client that hangs up does not stop
the function. A function that dies after the prelude leaves the client with a truncated answer; before it, with a 502.
"""

import asyncio
import contextvars
import json
import logging
import subprocess
import time
from typing import Any

from ministack.core import lambda_runtime
from ministack.core.responses import StreamingResponse
from ministack.services import apigateway_v1

from weir_local.exchange import CURRENT
from weir_local.patching import wrap

_log = logging.getLogger("weir_local.response_streaming")

_STREAMING_SUFFIX = "/response-streaming-invocations"
_DELIMITER = b"\0" * 8
#: The stream was completed by the function.
_END = object()
#: The invocation is over; without a preceding ``_END`` the stream is incomplete.
_OVER = object()
#: Seconds a process may take to be seen as dead after its connection broke.
_EXIT_GRACE = 0.25


class _Truncated(Exception):
    """The function's connection broke, or it reported an error, before the end of its response."""


class _ResponseStream:
    """Carries a function's response from the Runtime API's thread to the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.items: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, item: Any) -> None:
        """Add an item, from any thread. Unbounded: a client that stopped reading must not stop the function."""
        self._loop.call_soon_threadsafe(self.items.put_nowait, item)


#: The stream of the invocation being started, for the worker that will run it.
_starting: contextvars.ContextVar[_ResponseStream | None] = contextvars.ContextVar("weir_local_stream", default=None)
#: Streams of the invocations in flight, by request id.
_in_flight: dict[str, _ResponseStream] = {}
#: Running invocations; the event loop itself keeps only weak references to tasks.
_invocations: set[asyncio.Task] = set()


def _chunks(reader):
    """The chunks of a body with ``Transfer-Encoding: chunked``. Raises ``_Truncated`` when it is not complete."""
    try:
        while True:
            line = reader.readline(65536)
            size = int(line.split(b";")[0], 16)
            if size == 0:
                break
            chunk = reader.read(size)
            yield chunk
            if len(chunk) < size or reader.readline(2) != b"\r\n":
                raise _Truncated("connection closed")
        while (line := reader.readline(65536)) not in (b"\r\n", b"\n"):
            name = line.split(b":")[0].strip().lower()
            if not line or name == b"lambda-runtime-function-error-type":
                raise _Truncated(line.decode("latin-1").strip() or "connection closed")
    except (ValueError, OSError) as error:
        raise _Truncated(str(error)) from error


def _receive(handler, worker, generation: int, request_id: str, stream: _ResponseStream) -> None:
    """Pass on a streamed response as it comes, then settle the invocation."""
    try:
        for chunk in _chunks(handler.rfile):
            stream.put(chunk)
    except _Truncated as error:
        handler.close_connection = True
        try:
            # A dead process is noticed, and its environment replaced, by the invocation itself.
            if worker._proc is not None:
                worker._proc.wait(_EXIT_GRACE)
        except subprocess.TimeoutExpired:
            payload = {"errorType": "Runtime.TruncatedResponse", "errorMessage": f"Response was truncated: {error}"}
            worker._record_result(generation, request_id, "error", payload)
        return
    stream.put(_END)
    worker._record_result(generation, request_id, "response", None)
    handler._respond(202)


def _patch_runtime_api() -> None:
    @wrap(lambda_runtime.ProvidedWorker, "invoke")
    def invoke(original, self, event, request_id, **kwargs):
        stream = _starting.get()
        if stream is None:
            return original(self, event, request_id, **kwargs)
        _in_flight[request_id] = stream
        try:
            return original(self, event, request_id, **kwargs)
        finally:
            _in_flight.pop(request_id, None)

    @wrap(lambda_runtime.ProvidedWorker, "_build_handler_class")
    def build(original, self, generation, pending):
        base, worker = original(self, generation, pending), self

        class StreamingHandler(base):
            def do_POST(self):
                match = lambda_runtime._INVOCATION_RESULT_RE.search(self.path)
                stream = _in_flight.get(match.group(1)) if match and match.group(2) == "response" else None
                mode = self.headers.get("Lambda-Runtime-Function-Response-Mode", "")
                if stream is None or mode.lower() != "streaming":
                    base.do_POST(self)
                else:
                    _receive(self, worker, generation, match.group(1), stream)

        return StreamingHandler


def _integration_failure(status: int, why: str):
    """The answer when the integration failed: templates of the gateway responses apply, the status is API Gateway's own."""
    _log.warning("streaming integration failed: %s", why)
    error = apigateway_v1._gw_error("INTEGRATION_FAILURE", "Internal server error")
    exchange = CURRENT.get()
    if exchange is None:
        return error
    _, headers, body = apigateway_v1._gateway_error_response(error, exchange.request)
    return status, headers, body


async def _prelude(stream: _ResponseStream) -> tuple[dict | None, bytes]:
    """The prelude and the first bytes of the body; no prelude when the response ended or is no such response."""
    received = b""
    while _DELIMITER not in received:
        item = await stream.items.get()
        if item is _END or item is _OVER:
            return None, received
        received += item
    head, body = received.split(_DELIMITER, 1)
    try:
        prelude = json.loads(head)
    except ValueError:
        return None, received
    return (prelude if isinstance(prelude, dict) else None), body


def _headers(prelude: dict) -> dict:
    headers: dict[str, Any] = {"Content-Type": "application/json"}
    for name, value in [*(prelude.get("headers") or {}).items(), *(prelude.get("multiValueHeaders") or {}).items()]:
        for same in [known for known in headers if known.lower() == name.lower()]:
            del headers[same]
        headers[name] = value
    if prelude.get("cookies"):
        headers["Set-Cookie"] = list(prelude["cookies"])
    return headers


def _body(stream: _ResponseStream, first: bytes) -> StreamingResponse:
    async def run(send, _receive):
        if first:
            await send({"type": "http.response.body", "body": first, "more_body": True})
        while (item := await stream.items.get()) is not _END:
            if item is _OVER:
                # Leaving out the final message makes the server cut the connection: the client sees a truncated answer.
                _log.warning("streaming function ended before the end of its response")
                return
            await send({"type": "http.response.body", "body": item, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return StreamingResponse(run)


async def _invoke(integration, event, account_id, region):
    """Invoke the function and answer as soon as its prelude is there."""
    stream = _ResponseStream()
    reference = apigateway_v1._extract_lambda_ref_from_integration_uri(integration["uri"])
    token = _starting.set(stream)
    try:
        # Its own task, so that the invocation outlives the connection.
        task = asyncio.create_task(
            apigateway_v1._call_lambda_raw(reference, event, account_id=account_id, region=region)
        )
    finally:
        _starting.reset(token)
    _invocations.add(task)
    task.add_done_callback(_invocations.discard)
    task.add_done_callback(lambda _: stream.items.put_nowait(_OVER))

    started = time.monotonic()
    prelude, first = await _prelude(stream)
    exchange = CURRENT.get()
    if exchange is not None:
        exchange.integration_latency_ms = int((time.monotonic() - started) * 1000)
    if prelude is not None:
        status = int(prelude.get("statusCode", 200))
        if exchange is not None:
            exchange.integration_status = status
        return status, _headers(prelude), _body(stream, first)
    result, error = await task
    if error:
        return apigateway_v1._gw_error("API_CONFIGURATION_ERROR", "Internal server error")
    if result.get("error") or result.get("throttle"):
        return _integration_failure(502, f"the function failed: {result.get('body')}")
    return _integration_failure(500, "the response has no prelude")


def apply() -> None:
    """Teach the Runtime API to hand chunks on, and the REST API to answer with them."""
    _patch_runtime_api()

    @wrap(apigateway_v1, "_extract_lambda_ref_from_integration_uri")
    def reference(original, uri):
        return original((uri or "").replace(_STREAMING_SUFFIX, "/invocations"))

    @wrap(apigateway_v1, "_put_integration")
    def put_integration(original, api_id, resource_id, http_method, data):
        response = original(api_id, resource_id, http_method, data)
        if response[0] < 400 and data.get("responseTransferMode"):
            resource = apigateway_v1._resources[api_id][resource_id]
            resource["resourceMethods"][http_method]["methodIntegration"]["responseTransferMode"] = data["responseTransferMode"]
        return response

    @wrap(apigateway_v1, "_invoke_lambda_proxy_v1")
    async def invoke(
        original, integration, api_id, stage_name, stage, resource, path, method, headers, body, query, path_params, **kwargs
    ):
        streaming_uri = (integration.get("uri") or "").endswith(_STREAMING_SUFFIX)
        if streaming_uri != (integration.get("responseTransferMode") == "STREAM"):
            _log.error("%s %s: responseTransferMode STREAM and a %s uri go together", method, path, _STREAMING_SUFFIX)
            return apigateway_v1._gw_error("API_CONFIGURATION_ERROR", "Internal server error")
        if not streaming_uri:
            return await original(
                integration, api_id, stage_name, stage, resource, path, method, headers, body, query, path_params, **kwargs
            )
        event = apigateway_v1._build_lambda_event_v1(
            api_id, stage_name, stage, resource, path, method, headers, body, query, path_params,
            binary_media_types=kwargs.get("binary_media_types"),
            authorizer_context=kwargs.get("authorizer_context"),
            caller_identity=kwargs.get("caller_identity"),
        )
        return await _invoke(integration, event, kwargs.get("owner_account_id"), kwargs.get("owner_region"))
