"""Whoever hangs up still pays for what the model produced."""

from __future__ import annotations

import pytest

from ledger import Ledger
from simulator import Simulator, messages
from stack import ROUTES, Caller

USAGE = {"input": 21, "output": 6}


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_a_client_that_hangs_up_after_the_first_chunk_is_billed_in_full(
    callers: dict[str, Caller], ledger: Ledger, simulator: Simulator, tenant_id: str, model: str
) -> None:
    caller = callers[tenant_id]
    words = [f"word{index} " for index in range(6)]
    stream = caller.openai.chat.completions.create(
        model=model, messages=messages(chunks=words, chunk_delay_ms=200, usage=USAGE), stream=True
    )
    call_id = stream.response.headers["x-request-id"]
    next(chunk for chunk in stream if chunk.choices[0].delta.content)
    stream.close()
    call = simulator.find(call_id, tenant_id)
    assert call is not None
    assert call["outcome"] == "in_progress", "the client must be gone while the model still talks"

    record = ledger.record(caller, call_id)
    assert record["outcome"] == "completed"
    assert record["is_estimated"] is False
    assert {"input": record["usage"]["input"], "output": record["usage"]["output"]} == USAGE
    assert simulator.call(call_id, tenant_id)["outcome"] == "completed"
