"""DynamoDB throttles functions, fails, loses its answers and is slow, as often as ``weir_local.chaos`` says.

Not a correction: see ``chaos_endpoint``. Only requests signed by sessions of roles meet it, so those of functions and not those of
a test, which looks on. The AWS SDKs try again by themselves; a request that was carried out and whose answer is lost is then
made twice.
"""

import asyncio
import json
import time

from ministack import app

from weir_local.chaos import CHAOS
from weir_local.patching import wrap

_TARGET = "DynamoDB_20120810."
#: How credentials of sessions begin.
_SESSION = "Credential=ASIA"
_NAMESPACE = "com.amazonaws.dynamodb.v20120810#"
_THROTTLED = (
    (_NAMESPACE + "ProvisionedThroughputExceededException", "The level of configured provisioned throughput was exceeded."),
    ("com.amazon.coral.availability#ThrottlingException", "Rate of requests exceeds the allowed throughput."),
)


class _Bursts:
    """Times in which a table is throttled as a whole."""

    def __init__(self) -> None:
        self._begins = self._ends = 0.0

    def is_on(self) -> bool:
        """Whether this is such a time. The first one is not before the second look."""
        now = time.monotonic()
        if now >= self._ends:
            settings = CHAOS.settings
            self._begins = now + CHAOS.between(0, 2 * settings.burst_every_s)
            self._ends = self._begins + CHAOS.between(0, 2 * settings.burst_for_s)
        return self._begins <= now


_bursts = _Bursts()


def _error(status: int, kind: str, message: str) -> tuple[int, dict, bytes]:
    headers = {"Content-Type": "application/x-amz-json-1.0"}
    return status, headers, json.dumps({"__type": kind, "message": message}).encode()


def _throttled() -> tuple[int, dict, bytes]:
    return _error(400, *_THROTTLED[CHAOS.between(0, 1) < 0.5])


def _internal_error() -> tuple[int, dict, bytes]:
    return _error(500, _NAMESPACE + "InternalServerError", "Internal server error")


async def _pause(when: str) -> None:
    settings = CHAOS.settings
    if CHAOS.happens(when, settings.delayed / 2):
        await asyncio.sleep(CHAOS.between(0, settings.delay_s))


def apply() -> None:
    """Stand in front of every service; let all through but DynamoDB's requests of functions."""

    @wrap(app, "_dispatch_service_request")
    async def dispatch(original, method, path, headers, body, *rest):
        target = headers.get("x-amz-target", "")
        if not target.startswith(_TARGET) or _SESSION not in headers.get("authorization", ""):
            return await original(method, path, headers, body, *rest)
        settings = CHAOS.settings
        if CHAOS.happens("throttled", settings.throttled):
            return _throttled()
        if settings.throttled_in_burst and _bursts.is_on() and CHAOS.happens("throttled_in_burst", settings.throttled_in_burst):
            return _throttled()
        if CHAOS.happens("refused", settings.refused):
            return _internal_error()
        await _pause("delayed_before")
        answer = await original(method, path, headers, body, *rest)
        await _pause("delayed_after")
        if CHAOS.happens(f"answer_lost_{target.removeprefix(_TARGET)}", settings.answer_lost):
            return _internal_error()
        return answer
