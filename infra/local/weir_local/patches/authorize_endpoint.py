"""``POST /_weir/authorize``: is this signed request allowed?

Not a correction: model-sim stands in for Bedrock outside of MiniStack, and asks here what Bedrock would ask IAM. The signature
is verified and the caller's identity, boundary and session policies are evaluated by the code that guards MiniStack's own
services under ``AUTH=true``. Nothing is cached.

Request (JSON): ``method``; ``path`` as on the request line, query included; ``headers`` (names in any case, with the ``host`` that
was signed); ``body_sha256``, the hex SHA-256 of the body (that of an empty body if absent); ``action``; ``resource``; and
optionally ``context``, further condition keys. Answer: 200 ``{"allowed", "principal_arn", "reason"}``, or 400 for a request
that is not of this form.
"""

import json
import re
from urllib.parse import parse_qs

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, set_request_account_id, set_request_region
from ministack.core.router import extract_access_key_id, extract_region

from weir_local.patching import wrap

PATH = "/_weir/authorize"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_JSON = {"Content-Type": "application/json"}


def _body_mismatch(headers: dict, body_sha256: str | None) -> str:
    """Why the signed payload hash is not that of the body; empty when it is, or when none was signed."""
    signed = headers.get("x-amz-content-sha256")
    if not _SHA256.fullmatch(signed or ""):
        return ""
    if body_sha256 is not None and signed != body_sha256:
        return "XAmzContentSHA256Mismatch: The provided 'x-amz-content-sha256' header does not match what was computed."
    return ""


def _authorize(asked: dict) -> dict:
    """Decide on a request described by ``asked``. Raises ``KeyError`` and the like when it is not of the documented form."""
    headers = {name.lower(): str(value) for name, value in asked["headers"].items()}
    mismatch = _body_mismatch(headers, asked.get("body_sha256"))
    if asked.get("body_sha256"):
        # What the signature check takes for the hash of the body when it is there.
        headers.setdefault("x-amz-content-sha256", asked["body_sha256"])
    raw_path, _, query_string = asked["path"].partition("?")
    query = parse_qs(query_string, keep_blank_values=True)
    service = asked["action"].split(":")[0]

    access_key = extract_access_key_id(headers, query)
    set_request_account_id(app._request_account_scope(access_key))
    region = extract_region(headers, query)
    set_request_region(region)
    raw_headers = [(name.encode("latin-1"), value.encode("utf-8")) for name, value in headers.items()]
    iam_evaluator.pin_signed_request(asked["method"], raw_path, query, raw_headers)

    principal = iam_evaluator.resolve_principal(access_key, get_account_id())
    answer = {"allowed": False, "principal_arn": getattr(principal, "arn", ""), "reason": mismatch}
    if mismatch:
        return answer
    denied = iam_evaluator.enforce(
        access_key, asked["action"], service, region, resource_arn=asked["resource"], service_context=asked.get("context"),
    )
    if isinstance(denied, iam_evaluator.AuthError):
        answer["reason"] = f"{denied.code}: {denied.message}"
    elif denied is not None:
        answer["reason"] = f"{denied.decision}: {denied.reason}"
    else:
        answer.update(allowed=True, reason="Allow")
    return answer


def apply() -> None:
    """Serve the path ahead of MiniStack's own routing."""

    @wrap(app, "_handle_post_body_shortcuts")
    async def shortcuts(original, method, path, headers, body, *rest):
        if (method, path) != ("POST", PATH):
            return await original(method, path, headers, body, *rest)
        try:
            answer = _authorize(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return 400, dict(_JSON), json.dumps({"message": f"{type(error).__name__}: {error}"}).encode()
        return 200, dict(_JSON), json.dumps(answer).encode()
