"""The checks of the money campaign find what they are there to find: each planted fault, and nothing in good books."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ledger import Meter
from money_books import Books
from money_elsewhere import hour_of, lake_faults, statement_faults
from money_limits import Bound
from money_watch import Watch

PRICES = {"nova-pro": {"input": 800_000, "output": 3_200_000}}
#: 2026-11-25T12:00:00Z
NOON_MS = 1_795_608_000_000


def record(call_id: str, outcome: str = "completed", attempt: int = 1, **more: Any) -> dict[str, Any]:
    """A usage record of 10 input and 5 output tokens."""
    usage = {"input": 10, "output": 5}
    cost = 24_000
    if outcome == "refused":
        usage, cost = {}, 0
    return {
        "SK": f"USAGE#{call_id}#{attempt}",
        "call_id": call_id,
        "attempt": attempt,
        "tenant_id": "t",
        "outcome": outcome,
        "model": "nova-pro",
        "usage": usage,
        "cost_nanousd": 50_000 if outcome == "abandoned" else cost,
        "reserved_nanousd": 50_000,
        "is_estimated": outcome == "abandoned",
        "started_ms": NOON_MS,
        "meters": ["tenant=t"],
        **more,
    }


def call(call_id: str, **more: Any) -> dict[str, Any]:
    """What the simulator notes of a call."""
    return {"call_id": call_id, "outcome": "completed", "status": 200, "usage": {"input": 10, "output": 5}, **more}


def good() -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Records, provider calls and the meter of a tenant: a plain call, one that was repeated, one whose function died."""
    records = [record("a"), record("b", "refused"), record("b", attempt=2), record("c", "abandoned")]
    calls = [call("a"), call("b", status=429, usage={}), call("b")]
    # The second attempt is no request of its own. What was abandoned has the usage of its reservation, here the same.
    meter = {"minute": NOON_MS // 60_000, "open": {}, "req_day": 3, "tok_day": 45, "usd_total": 98_000, "usd_month": 98_000}
    meter |= {"req_min": 3, "tok_min": 45}
    return records, calls, meter


def faults(records: list[dict[str, Any]], calls: list[dict[str, Any]], meter: dict[str, Any]) -> list[str]:
    """What is wrong with them."""
    books = Books({"t": records}, {"t": calls}, PRICES)
    books.check_records({"a", "b"})
    books.check_meters({"tenant=t": Meter(meter)}, {record["SK"]: {"tenant=t"} for record in records}, 30_000)
    return books.faults


def test_good_books_are_good() -> None:
    assert faults(*good()) == []


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (lambda records, calls, meter: records.pop(0), "lost: the provider was asked 1 times for a"),
        (lambda records, calls, meter: calls.append(call("d")), "lost: the provider was asked 1 times for d"),
        (lambda records, calls, meter: calls.append(call("a")), "lost: the provider was asked 2 times for a"),
        (lambda records, calls, meter: calls.pop(0), "doubled: the provider was asked 0 times for a"),
        (lambda records, calls, meter: records.append(record("a", attempt=2)), "doubled"),
        (lambda records, calls, meter: records.pop(1), "b has records of attempts [2]"),
        (lambda records, calls, meter: records[0].update(tenant_id="other"), "in a partition of t"),
        (lambda records, calls, meter: records[0].update(cost_nanousd=24_001), "costs 24001"),
        (lambda records, calls, meter: records[0].update(reserved_nanousd=1), "had 1 reserved"),
        (lambda records, calls, meter: calls[0].update(usage={"input": 11, "output": 5}), "the provider bills"),
        (lambda records, calls, meter: records[3].update(cost_nanousd=1), "was abandoned and costs 1"),
        (lambda records, calls, meter: records[0].update(meters=[]), "is held by []"),
        (lambda records, calls, meter: records[0].update(meters=["tenant=t", "lob=l"]), "held by lob=l, which is no meter"),
        (lambda records, calls, meter: meter.update(usd_total=98_001), "usd_total is 98001"),
        (lambda records, calls, meter: meter.update(usd_month=97_999), "usd_month is 97999"),
        (lambda records, calls, meter: meter.update(req_day=4), "req_day is 4"),
        (lambda records, calls, meter: meter.update(tok_min=46), "tok_min is 46"),
        (lambda records, calls, meter: meter.update(open={"a-1": {"a": 1}}), "still has open"),
    ],
)
def test_each_fault_is_found(plant: Callable[..., Any], found: str) -> None:
    books = copy.deepcopy(good())
    plant(*books)
    assert any(found in fault for fault in faults(*books)), faults(*books)


#: 2026-11-26T00:00:00Z, a Thursday.
MIDNIGHT_MS = NOON_MS + 12 * 3_600_000


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"req_day": 1, "usd_week": 48_000}, None),
        # The call before midnight may have been counted after it, by a slow clock, and by no other way.
        ({"req_day": 2}, None),
        ({"req_day": 0}, "req_day is 0, not between 1 and 2"),
        ({"req_day": 3}, "req_day is 3"),
        ({"usd_week": 24_000}, "usd_week is 24000"),
    ],
)
def test_a_day_that_begins_in_a_round_counts_its_own_calls(counts: dict[str, int], found: str | None) -> None:
    records = [record("a", started_ms=MIDNIGHT_MS - 20_000), record("b", started_ms=MIDNIGHT_MS + 5_000)]
    meter = {"minute": MIDNIGHT_MS // 60_000, "open": {}, "usd_week": 48_000, **counts}
    told = faults(records, [call("a"), call("b")], meter)
    assert told == [] if found is None else any(found in fault for fault in told), told


def test_shards_that_have_not_all_met_midnight_add_up_to_less() -> None:
    books = [record("a", started_ms=MIDNIGHT_MS - 20_000), record("b", started_ms=MIDNIGHT_MS + 5_000)]
    calls = [call("a"), call("b")]
    assert faults(books, calls, {"open": {}, "req_day": 1, "req_week": 2}) == []
    assert faults(books, calls, {"open": {}, "req_day": 3}) != []
    assert faults(books, calls, {"open": {}, "req_week": 1}) != []


def stored() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Two records, and the rows of the lake that they are."""
    records = [record("a", lob_id="l"), record("b", lob_id="l")]
    same = {"attempt": 1, "tenant_id": "t", "lob_id": "l", "model": "nova-pro", "outcome": "completed", "is_estimated": False}
    row = {**same, "input_tokens": 10, "output_tokens": 5, "cost_nanousd": 24_000}
    return records, [{**row, "call_id": "a"}, {**row, "call_id": "b"}, {**row, "call_id": "x", "tenant_id": "other"}]


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (lambda rows: None, None),
        (lambda rows: rows.pop(0), "lost: USAGE#a#1 stands 0 times"),
        (lambda rows: rows.append(rows[0]), "doubled: USAGE#a#1 stands 2 times"),
        (lambda rows: rows[0].update(cost_nanousd=1), "the lake says"),
        (lambda rows: rows.append({**rows[0], "attempt": 2}), "which is no record"),
    ],
)
def test_a_lake_is_compared_row_by_row(plant: Callable[..., Any], found: str | None) -> None:
    records, rows = stored()
    plant(rows)
    faults = lake_faults(rows, records)
    assert (faults == []) if found is None else any(found in fault for fault in faults), faults


def test_a_statement_is_compared_with_the_records_it_bills() -> None:
    records, _ = stored()
    line = {"model": "nova-pro", "calls": 2, "records": 2, "estimated_records": 0, "cost_nanousd": 48_000}
    assert statement_faults({"lines": [line], "totals": line}, records) == []
    assert statement_faults({"lines": [line], "totals": {**line, "cost_nanousd": 48_001}}, records)
    assert statement_faults({"lines": [{**line, "records": 1}], "totals": line}, records)
    assert statement_faults({"lines": [{**line, "model": "nova-lite"}], "totals": line}, records)


def test_an_id_says_in_which_hour_its_call_began() -> None:
    assert hour_of("01a21366a8ee7000800000000000000f").isoformat() == "2026-11-25T15:00:00+00:00"


class _Ledger:
    """Shows the looks that it is given, one after the other."""

    def __init__(self, *looks: dict[str, Any]) -> None:
        self._looks = iter(looks)

    def meters(self, _scope: str) -> dict[str, Meter]:
        return {"METER": Meter(next(self._looks))}


def test_an_overrun_is_seen_when_it_is_there() -> None:
    bounds = [Bound(("TENANT#t", "METER"), "usd_month", 100), Bound(("TENANT#t", "METER"), None, 1)]
    opened = {"usd_month": 100, "usd_total": 100, "open": {"a-1": {"a": 40}}}
    over = {"usd_month": 101, "usd_total": 101, "open": {"a-1": {"a": 40}, "b-1": {"a": 1}}}
    watch = Watch(_Ledger(opened, over, opened), ["TENANT#t"], bounds)  # type: ignore[arg-type]
    watch.look()
    assert watch.faults == []
    watch.look()
    assert len(watch.faults) == 2, watch.faults
    watch.look()
    assert len(watch.faults) == 2
    assert watch.most["tenant:usd_month"] == 1.01


def test_money_that_was_settled_stays_settled() -> None:
    looks = [{"usd_total": 50, "open": {"a-1": {"a": 20}}}, {"usd_total": 45, "open": {"a-1": {"a": 20}}}]
    watch = Watch(_Ledger(*looks), ["TENANT#t"], [])  # type: ignore[arg-type]
    watch.look()
    watch.look()
    assert any("has settled 25 after 30" in fault for fault in watch.faults)
