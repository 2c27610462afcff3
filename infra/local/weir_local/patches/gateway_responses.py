"""Gateway responses see the whole ``$context``.

MiniStack renders six variables (error, request id, resource path, stage, status) and leaves any other as it is written. AWS
renders all of ``$context``, an absent variable as nothing: ``$context.authorizer.error`` is how an authorizer explains a 403.
And it sends ``x-amzn-ErrorType`` twice where a gateway response has its own.
"""

from ministack.services import apigateway_v1

from weir_local import exchange as exchanges
from weir_local.patching import wrap


def apply() -> None:
    """Render the variables MiniStack left, and note the error on the exchange."""

    @wrap(apigateway_v1, "_gateway_error_response")
    def respond(original, error, request):
        status, headers, body = original(error, request)
        if "x-amzn-errortype" in headers:
            headers.pop("x-amzn-ErrorType", None)
        exchange = exchanges.CURRENT.get()
        if exchange is None:
            return status, headers, body
        exchange.error = error
        known = exchanges.variables(exchange)

        def value(match):
            return known.get((match.group(1) or match.group(2)).removeprefix("context."), "")

        text = apigateway_v1._GATEWAY_TEMPLATE_VARIABLE.sub(value, body.decode("utf-8"))
        return status, headers, text.encode("utf-8")
