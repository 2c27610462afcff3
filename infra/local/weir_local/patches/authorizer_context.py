"""What a Lambda authorizer returned is kept for the request, also when it denied the call.

MiniStack drops the authorizer's context on a Deny, so neither a gateway response nor an access log can say why. On AWS it is
in ``$context.authorizer.*`` either way, from the result cache too, and the event has ``authorizer.integrationLatency``.
"""

import contextvars
import time

from ministack.services import apigateway_v1

from weir_local.exchange import CURRENT
from weir_local.patching import wrap

_fresh: contextvars.ContextVar[dict] = contextvars.ContextVar("weir_local_authorizer_context")


class _Policy(dict):
    """A cached policy document that remembers the context returned with it."""

    context: dict


def apply() -> None:
    """Remember the context with the policy, and note it on the exchange when the policy is evaluated."""

    @wrap(apigateway_v1, "_stringify_context")
    def stringify(original, context):
        result = original(context)
        _fresh.set(result)
        return result

    @wrap(apigateway_v1, "_cache_authorizer_result")
    def cache(original, key, expires_at, policy_doc, context):
        policy = _Policy(policy_doc)
        policy.context = context
        return original(key, expires_at, policy, context)

    @wrap(apigateway_v1, "_evaluate_policy")
    def evaluate(original, policy_doc, method_arn):
        exchange = CURRENT.get()
        if exchange is not None:
            exchange.authorizer = policy_doc.context if isinstance(policy_doc, _Policy) else _fresh.get({})
        return original(policy_doc, method_arn)

    @wrap(apigateway_v1, "_authorize_request_v1")
    async def authorize(original, *args, **kwargs):
        started = time.monotonic()
        error, context = await original(*args, **kwargs)
        exchange = CURRENT.get()
        if exchange is not None and exchange.authorizer:
            exchange.authorizer_latency_ms = int((time.monotonic() - started) * 1000)
            if context is not None:
                context = {**context, "integrationLatency": exchange.authorizer_latency_ms}
        return error, context
