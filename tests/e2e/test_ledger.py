"""Every call leaves one record with the right cost, in its tenant's partition, and the meters add up."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ledger import Ledger, usage_key
from simulator import Simulator, messages
from stack import Caller

#: Tokens by kind, and what they cost by hand. Nano-USD: pico-USD per token, by a thousand.
BY_HAND: list[tuple[str, str, dict[str, int], int]] = [
    (
        # $3.30 input, $16.50 output, $0.33 cache read, $4.125 and $6.60 cache writes per million (us. profile)
        "acme",
        "claude-sonnet-4-5",
        {"input": 1_000, "output": 200, "cache_read": 50_000, "cache_write_5m": 400, "cache_write_1h": 100},
        3_300_000 + 3_300_000 + 16_500_000 + 1_650_000 + 660_000,
    ),
    (
        # $0.80 input, $3.20 output, $0.20 cache read per million
        "globex",
        "nova-pro",
        {"input": 1_000, "output": 200, "cache_read": 50_000},
        800_000 + 640_000 + 10_000_000,
    ),
    (
        # $0.15 input, $0.60 output per million; no price of its own for cached input
        "acme",
        "gpt-oss-120b",
        {"input": 700, "output": 50, "cache_read": 300},
        105_000 + 30_000 + 45_000,
    ),
    (
        # $0.07 input, $0.30 output per million
        "globex",
        "gpt-oss-20b",
        {"input": 700, "output": 50, "cache_read": 300},
        49_000 + 15_000 + 21_000,
    ),
]
#: As `infra/seed/prices.json` has it.
PRICE_VERSION = "2026-11-01"
PROVIDER_MODEL_IDS = {
    "claude-sonnet-4-5": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "nova-pro": "amazon.nova-pro-v1:0",
    "gpt-oss-120b": "openai.gpt-oss-120b-1:0",
    "gpt-oss-20b": "openai.gpt-oss-20b-1:0",
}
#: A prompt that may well have as many tokens as are scripted: the reservation counts its bytes.
LONG = "word " * 12_000


@pytest.mark.parametrize(("tenant_id", "model", "usage", "cost"), BY_HAND)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_call_is_recorded_with_what_it_cost(
    callers: dict[str, Caller],
    ledger: Ledger,
    tenant_id: str,
    model: str,
    usage: dict[str, int],
    cost: int,
    is_streamed: bool,
) -> None:
    caller = callers[tenant_id]
    (other,) = (caller for caller in callers.values() if caller.tenant_id != tenant_id)
    before = {scope: ledger.settled_meter(scope) for scope in (*caller.scopes, *other.scopes)}
    started_ms = time.time() * 1000
    raw = caller.openai.chat.completions.with_raw_response.create(
        model=model, messages=messages(LONG, usage=usage), max_tokens=300, stream=is_streamed
    )
    if is_streamed:
        list(raw.parse())
    record = ledger.record(caller, raw.headers["x-request-id"])

    expected: dict[str, Any] = {
        **usage_key(tenant_id, raw.headers["x-request-id"]),
        "schema": 3,
        "call_id": raw.headers["x-request-id"],
        "attempt": 1,
        "tenant_id": tenant_id,
        "lob_id": caller.lob_id,
        "principal_kind": "user" if tenant_id == "acme" else "machine",
        "dialect": "openai.chat_completions",
        "requested_model": model,
        "model": model,
        "provider_model_id": PROVIDER_MODEL_IDS[model],
        "provider": "aws.bedrock",
        "region": caller.stack.region,
        "is_streamed": is_streamed,
        "usage": {"cache_read": 0, "cache_write_5m": 0, "cache_write_1h": 0, **usage},
        "is_cache_hit": False,
        "is_estimated": False,
        "price_version": PRICE_VERSION,
        "cost_nanousd": cost,
        "outcome": "completed",
    }
    assert {name: record.get(name) for name in expected} == expected
    assert record["reserved_nanousd"] >= cost, "the reservation is a bound"
    assert started_ms - 1_000 <= record["started_ms"] <= time.time() * 1000
    assert record["latency_ms"] >= record["gateway_ms"]
    assert ("time_to_first_token_ms" in record) == is_streamed
    if tenant_id == "globex":
        assert record["principal_id"] == caller.stack.tenant(tenant_id)["machine_client"]["client_id"]

    after = {scope: ledger.settled_meter(scope) for scope in before}
    for scope in caller.scopes:
        assert after[scope].settled == before[scope].settled + cost
        assert after[scope].committed == after[scope].settled
    for scope in other.scopes:
        assert after[scope].item == before[scope].item, "nothing of it is the other tenant's"


def test_counters_are_the_sum_of_all_records(callers: dict[str, Caller], ledger: Ledger) -> None:
    """Since the stack came up, over whatever the tests (and anybody else) called. Each tenant is alone in its LOB."""
    for tenant_id, caller in callers.items():
        caller.openai.chat.completions.create(model="nova-lite", messages=messages())
        meters = [ledger.settled_meter(scope) for scope in caller.scopes]
        total = sum(int(record["cost_nanousd"]) for record in ledger.records(tenant_id))
        for meter in meters:
            assert (meter.settled, meter.committed) == (total, total)


def test_every_call_that_reached_the_provider_has_one_record(
    callers: dict[str, Caller], ledger: Ledger, simulator: Simulator
) -> None:
    before = simulator.last_seq()
    for caller in callers.values():
        for model in ("nova-pro", "gpt-oss-120b"):
            for is_streamed in (False, True):
                answer = caller.openai.chat.completions.create(model=model, messages=messages(), stream=is_streamed)
                if is_streamed:
                    list(answer)
    for tenant_id, caller in callers.items():
        calls = [call["call_id"] for call in simulator.calls(before, tenant_id)]
        assert len(set(calls)) == len(calls) == 4
        for call_id in calls:
            assert ledger.record(caller, call_id)["outcome"] == "completed"
