"""Requests that are too large are refused.

MiniStack accepts any size. API Gateway refuses a body over 10 MB, and Lambda an event over 6 MB of JSON, which API Gateway
reports the same way: 413 through the gateway response ``REQUEST_TOO_LARGE``.
"""

import json

from ministack.services import apigateway_v1

from weir_local.patching import wrap

#: API Gateway's payload quota, bytes.
MAX_BODY = 10 * 1024 * 1024
#: Lambda's quota for the event of a synchronous invocation, bytes of JSON.
MAX_EVENT = 6 * 1024 * 1024


def _too_large():
    return apigateway_v1._gw_error("REQUEST_TOO_LARGE", "Request Too Long")


def _escaped_size(body: bytes) -> int:
    """The size of the body inside of an event, bytes: the rest of the event does not matter much."""
    return len(json.dumps(body.decode("utf-8", "replace"), ensure_ascii=False).encode())


def apply() -> None:
    """Check the body before anything else, the event before the function is invoked."""

    @wrap(apigateway_v1, "_execute_in_scope")
    async def execute(original, request, api_id, stage_name, method, path, headers, body, *rest):
        stage = apigateway_v1._stages_v1.get(api_id, {}).get(stage_name)
        if stage and len(body or b"") > MAX_BODY:
            request["stage"] = stage
            return _too_large()
        return await original(request, api_id, stage_name, method, path, headers, body, *rest)

    @wrap(apigateway_v1, "_invoke_lambda_proxy_v1")
    async def invoke(original, integration, api_id, stage_name, stage, resource, path, method, headers, body, *rest, **kwargs):
        # Escaped, a byte takes six at most: only then is it worth a closer look.
        if body and len(body) * 6 > MAX_EVENT and _escaped_size(body) > MAX_EVENT:
            return _too_large()
        return await original(
            integration, api_id, stage_name, stage, resource, path, method, headers, body, *rest, **kwargs
        )
