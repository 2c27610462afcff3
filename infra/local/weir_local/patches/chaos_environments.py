"""Execution environments of functions are few, and their clocks are wrong, if ``weir_local.chaos`` says so.

Not a correction: see ``chaos_endpoint``. A small machine cannot run a thousand processes at once, and AWS refuses what exceeds an
account's concurrency; here the calls of REST APIs wait for an environment, so that as many can be under way as a test wants.
"""

import asyncio
import contextlib

from ministack.services import apigateway_v1, lambda_svc

from weir_local.chaos import CHAOS
from weir_local.patching import wrap


class _Gate:
    """Lets as many through at once as the settings of the moment say."""

    def __init__(self) -> None:
        self._bound = 0
        self._places = asyncio.Semaphore()
        self._under_way = 0

    @contextlib.asynccontextmanager
    async def place(self):
        """One's turn, in the order of arrival."""
        bound = CHAOS.settings.environments
        if bound != self._bound:
            self._bound, self._places = bound, asyncio.Semaphore(bound)
        self._under_way += 1
        CHAOS.most("most_calls_under_way", self._under_way)
        try:
            async with self._places if bound else contextlib.nullcontext():
                yield
        finally:
            self._under_way -= 1


_gate = _Gate()


def apply() -> None:
    """Bound invocations by REST APIs, and turn the clocks of new processes."""

    @wrap(apigateway_v1, "_call_lambda_raw")
    async def call(original, *args, **kwargs):
        async with _gate.place():
            return await original(*args, **kwargs)

    @wrap(lambda_svc, "_provided_worker_env")
    def environment(original, *args, **kwargs):
        variables = original(*args, **kwargs)
        settings = CHAOS.settings
        if settings.clock_skew_s:
            skew_ms = round(CHAOS.between(-settings.clock_skew_s, settings.clock_skew_s) * 1000)
            variables.update(LD_PRELOAD=settings.clock_skew_library, WEIR_CLOCK_SKEW_MS=str(skew_ms))
            CHAOS.count("clocks_turned")
        return variables
