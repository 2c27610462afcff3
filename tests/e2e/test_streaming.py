"""Streams really stream, stay alive while a model thinks, and say so when they break."""

from __future__ import annotations

import json
import time

import httpx2
import pytest
from openai import APIError

from ledger import Ledger
from simulator import Simulator, messages
from stack import ROUTES, TIMEOUT_S, Caller

#: Milliseconds between two chunks of the model.
CHUNK_DELAY_MS = 200
WORDS = [f"word{index} " for index in range(8)]


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_each_chunk_arrives_while_the_model_still_talks(
    callers: dict[str, Caller], simulator: Simulator, tenant_id: str, model: str
) -> None:
    """Shown twice: by what the model had said when a chunk arrived, and by the gaps between arrivals.

    When chunk k is in the client's hands, the model has not said chunk k + 3 yet: the simulator is asked right then.
    (Asking takes a moment, in which the model may go on.) And chunks arrive apart, not in one piece at the end.
    """
    before = simulator.last_seq()
    stream = callers[tenant_id].openai.chat.completions.create(
        model=model, messages=messages(chunks=WORDS, chunk_delay_ms=CHUNK_DELAY_MS), stream=True
    )
    arrivals: list[float] = []
    ahead: list[int] = []
    for chunk in stream:
        if chunk.choices[0].delta.content:
            arrivals.append(time.monotonic())
            (call,) = simulator.calls(before, tenant_id)
            ahead.append(call["chunks_sent"] - len(arrivals))
    assert len(arrivals) == len(WORDS)
    assert max(ahead[:-3]) <= 2, f"chunks that the model was ahead by at each arrival: {ahead}"
    gaps = [later - earlier for earlier, later in zip(arrivals, arrivals[1:])]
    apart = [gap for gap in gaps if gap >= CHUNK_DELAY_MS / 2000]
    assert len(apart) >= len(gaps) - 2, f"gaps between arrivals, in seconds: {[round(gap, 3) for gap in gaps]}"


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
@pytest.mark.parametrize("silence", ["head_delay_ms", "latency_ms"])
def test_a_thinking_model_is_bridged_by_signs_of_life(
    callers: dict[str, Caller], tenant_id: str, model: str, silence: str
) -> None:
    """Before the provider has answered at all, and between its headers and its first word."""
    heartbeat_ms = heartbeat_of(callers[tenant_id])
    caller = callers[tenant_id]
    body = {"model": model, "stream": True, "messages": messages(text="At last.", **{silence: int(heartbeat_ms * 2.5)})}
    headers = {"authorization": f"Bearer {caller.token}"}
    url = f"{caller.stack.base_url}/chat/completions"
    lines: list[str] = []
    with httpx2.Client(trust_env=False, timeout=TIMEOUT_S) as client:
        started = time.monotonic()
        with client.stream("POST", url, json=body, headers=headers) as answer:
            assert answer.status_code == 200
            for line in answer.iter_lines():
                if not lines:
                    first_after_s = time.monotonic() - started
                lines.append(line)
    spoken = next(index for index, line in enumerate(lines) if line.startswith("data:"))
    assert lines[:spoken].count(": keep-alive") >= 2, lines
    assert first_after_s * 1000 < heartbeat_ms * 2, "the first sign of life must not wait for the model"
    assert lines[-2:] == ["data: [DONE]", ""]


def heartbeat_of(caller: Caller) -> int:
    """The heartbeat that the stack was deployed with, in milliseconds."""
    configuration = caller.stack.aws("lambda").get_function_configuration(
        FunctionName=caller.stack.outputs["InvokeFunctionName"]
    )
    return int(configuration["Environment"]["Variables"].get("HEARTBEAT_INTERVAL_MS", 10_000))


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_an_error_in_mid_stream_is_raised_with_its_message(
    callers: dict[str, Caller], ledger: Ledger, tenant_id: str, model: str
) -> None:
    caller = callers[tenant_id]
    script = {
        "chunks": WORDS,
        "error_after_chunks": 3,
        "error": {"exception": "modelStreamErrorException", "message": "the model stumbled"},
    }
    stream = caller.openai.chat.completions.create(model=model, messages=messages(**script), stream=True)
    seen = []
    with pytest.raises(APIError) as raised:
        for chunk in stream:
            seen.append(chunk.choices[0].delta.content or "")
    assert "".join(seen) == "".join(WORDS[:3]), "what came before the error is not lost"
    assert raised.value.message
    assert isinstance(raised.value.body, dict)
    assert set(raised.value.body) >= {"message", "type", "param", "code"}
    record = ledger.record(caller, stream.response.headers["x-request-id"])
    assert record["outcome"] == "failed"
    assert record["cost_nanousd"] > 0, "what the model had said by then is paid for"


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_a_connection_cut_in_mid_stream_is_an_error_not_an_end(
    callers: dict[str, Caller], ledger: Ledger, tenant_id: str, model: str
) -> None:
    caller = callers[tenant_id]
    stream = caller.openai.chat.completions.create(
        model=model, messages=messages(chunks=WORDS, cut_after_chunks=3), stream=True
    )
    seen = []
    with pytest.raises(APIError, match="(?i)again"):
        for chunk in stream:
            seen.append(chunk.choices[0].delta.content or "")
    assert "".join(seen) == "".join(WORDS[:3])
    record = ledger.record(caller, stream.response.headers["x-request-id"])
    assert (record["outcome"], record["is_estimated"]) == ("failed", True)
    assert 0 < record["cost_nanousd"] <= record["reserved_nanousd"]


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_a_refusal_during_the_silence_is_an_event_in_the_stream(
    callers: dict[str, Caller], ledger: Ledger, tenant_id: str, model: str
) -> None:
    """After the first sign of life the status is 200, so the refusal comes as the SDK expects errors in streams."""
    caller = callers[tenant_id]
    silence = int(heartbeat_of(caller) * 1.5)
    error = {"exception": "ThrottlingException", "message": "slow down"}
    stream = caller.openai.chat.completions.create(
        model=model, messages=messages(head_delay_ms=silence, error=error), stream=True
    )
    with pytest.raises(APIError, match="throttling") as raised:
        list(stream)
    assert json.loads(json.dumps(raised.value.body))["code"] == "rate_limit_exceeded"
    record = ledger.record(caller, stream.response.headers["x-request-id"])
    assert (record["outcome"], record["cost_nanousd"]) == ("refused", 0)
