"""One request id for a REST API call.

MiniStack makes up three: one for the ``x-amzn-requestid`` header, one for ``requestContext.requestId`` of the event, one for
``$context.requestId``. On AWS they are the same, which is how a caller's report is found in the logs.
"""

import time

from ministack.services import apigateway_v1

from weir_local.exchange import CURRENT, Exchange
from weir_local.patching import wrap

_HEADER = "x-amzn-requestid"


def apply() -> None:
    """Open an exchange per request and use its id everywhere."""

    @wrap(apigateway_v1, "_execute_in_scope")
    async def execute(original, request, api_id, stage_name, method, path, headers, body, query_params, account_id, region):
        CURRENT.set(Exchange(request=request, method=method, path=path, account_id=account_id))
        return await original(request, api_id, stage_name, method, path, headers, body, query_params, account_id, region)

    @wrap(apigateway_v1, "_handle_execute_in_scope")
    async def handle(original, *args, **kwargs):
        status, headers, body = await original(*args, **kwargs)
        exchange = CURRENT.get()
        if exchange is not None:
            for name in [name for name in headers if name.lower() == _HEADER]:
                del headers[name]
            headers[_HEADER] = exchange.request["request_id"]
        return status, headers, body

    @wrap(apigateway_v1, "_build_lambda_event_v1")
    def build_event(original, *args, **kwargs):
        event = original(*args, **kwargs)
        exchange = CURRENT.get()
        if exchange is not None:
            context = event["requestContext"]
            context["requestId"] = context["extendedRequestId"] = exchange.request["request_id"]
            context["requestTimeEpoch"] = int(exchange.started * 1000)
            context["requestTime"] = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(exchange.started))
        return event
