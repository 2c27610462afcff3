"""A WebSocket is opened as the functions say: refused with 401, or accepted with the subprotocol that they chose.

MiniStack answers 500 when the authorizer fails with ``Unauthorized``, of which AWS makes 401 as for a REST API. An
authorizer that a template gives no identity source gets the one of an HTTP API, so that a connection without an
``Authorization`` header never reaches the function. And headers of the answer to ``$connect`` are dropped.
"""

import contextvars

from ministack.services import apigateway

from weir_local.patching import wrap

#: What MiniStack fills in for an authorizer without a source; no WebSocket API's source looks like it.
_DEFAULT_SOURCE = ["$request.header.Authorization"]

_unauthorized: contextvars.ContextVar[bool] = contextvars.ContextVar("weir_local_unauthorized", default=False)
_subprotocol: contextvars.ContextVar[str | None] = contextvars.ContextVar("weir_local_subprotocol", default=None)


def apply() -> None:
    """Look at what the functions answer, and act upon it."""

    @wrap(apigateway, "run_reentrant")
    async def run(original, *args, **kwargs):
        result = await original(*args, **kwargs)
        if isinstance(result, dict):
            body = result.get("body")
            message = body.get("errorMessage") if isinstance(body, dict) else None
            _unauthorized.set(bool(result.get("error")) and message == "Unauthorized")
        return result

    @wrap(apigateway, "_authorize_ws_connect")
    async def authorize(original, api_id, route, *args, **kwargs):
        authorizer = apigateway._authorizers.get(api_id, {}).get(route.get("authorizerId") or "")
        if authorizer and authorizer.get("identitySource") == _DEFAULT_SOURCE:
            authorizer["identitySource"] = []
        _unauthorized.set(False)
        refusal, context = await original(api_id, route, *args, **kwargs)
        return ((401, "Unauthorized"), None) if refusal and _unauthorized.get() else (refusal, context)

    @wrap(apigateway, "_invoke_ws_lambda")
    async def invoke(original, *args, **kwargs):
        answer = await original(*args, **kwargs)
        headers = answer.get("headers") if isinstance(answer, dict) else None
        chosen = [value for name, value in (headers or {}).items() if name.lower() == "sec-websocket-protocol"]
        _subprotocol.set(chosen[0] if chosen else None)
        return answer

    @wrap(apigateway, "handle_websocket")
    async def handle(original, scope, receive, send, *args, **kwargs):
        async def accepting(message):
            if message["type"] == "websocket.accept" and _subprotocol.get():
                message = {**message, "subprotocol": _subprotocol.get()}
            await send(message)

        return await original(scope, receive, accepting, *args, **kwargs)
