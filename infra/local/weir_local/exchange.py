"""What is known about the REST API request being served: the source of API Gateway's ``$context`` variables."""

import contextvars
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Exchange:
    """One request to a REST API stage and its answer."""

    #: MiniStack's own record of the request: ``request_id``, ``stage_name``, ``headers``, ``resource_path``, ...
    request: dict[str, Any]
    method: str
    #: The path below the stage.
    path: str
    account_id: str
    started: float = field(default_factory=time.time)
    #: The context an authorizer returned, values stringified, whether it allowed the call or not.
    authorizer: dict[str, str] = field(default_factory=dict)
    authorizer_latency_ms: int | None = None
    integration_latency_ms: int | None = None
    #: The status a function answered with.
    integration_status: int | None = None
    #: The error API Gateway itself answered with, if it did: has ``response_type`` and ``message``.
    error: Any = None


#: Set for the length of the task that serves a REST API request; unset elsewhere.
CURRENT: contextvars.ContextVar[Exchange | None] = contextvars.ContextVar("weir_local_exchange", default=None)


def _header(exchange: Exchange, name: str) -> str:
    value = next((v for k, v in exchange.request["headers"].items() if k.lower() == name), "")
    return value if isinstance(value, str) else value[-1]


def variables(exchange: Exchange) -> dict[str, str]:
    """The ``$context`` variables of a request, by name without the ``$context.`` prefix. Absent ones are left out."""
    request = exchange.request
    values = {
        "accountId": exchange.account_id,
        "apiId": request["api_id"],
        "domainName": _header(exchange, "host").split(":")[0],
        "extendedRequestId": request["request_id"],
        "httpMethod": exchange.method,
        "identity.sourceIp": (_header(exchange, "x-forwarded-for") or "127.0.0.1").split(",")[0].strip(),
        "identity.userAgent": _header(exchange, "user-agent"),
        "path": f"/{request['stage_name']}{exchange.path}",
        "protocol": "HTTP/1.1",
        "requestId": request["request_id"],
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(exchange.started)),
        "requestTimeEpoch": str(int(exchange.started * 1000)),
        "resourcePath": request["resource_path"],
        "stage": request["stage_name"],
    }
    values.update({f"authorizer.{name}": value for name, value in exchange.authorizer.items()})
    if exchange.authorizer_latency_ms is not None:
        latency = str(exchange.authorizer_latency_ms)
        values.update({"authorizer.integrationLatency": latency, "authorizer.latency": latency, "authorizer.status": "200"})
    if exchange.integration_latency_ms is not None:
        latency = str(exchange.integration_latency_ms)
        values.update({"integrationLatency": latency, "integration.latency": latency})
    if exchange.integration_status is not None:
        values["integration.status"] = str(exchange.integration_status)
    return {name: value for name, value in values.items() if value != ""}
