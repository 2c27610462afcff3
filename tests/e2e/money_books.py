"""The books of a round of the money campaign: calls that the provider saw, records, counters, lake, statement."""

from __future__ import annotations

import collections
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from ledger import Meter
from prices import cost

Record = dict[str, Any]

#: Milliseconds of a minute.
MINUTE_MS = 60_000


@dataclass
class Books:
    """What there is of a round's tenants, and what is wrong with it."""

    #: Records by tenant.
    records: dict[str, list[Record]]
    #: Calls that the simulator says it was asked, by tenant.
    calls: dict[str, list[dict[str, Any]]]
    #: Pico-USD per token by model and kind.
    prices: dict[str, dict[str, int]]
    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def all_records(self) -> list[Record]:
        """Of all tenants."""
        return [record for kept in self.records.values() for record in kept]

    def fault(self, what: str) -> None:
        """Notes that something is wrong."""
        self.faults.append(what)

    def check_records(self, succeeded: set[str]) -> None:
        """Nothing lost, nothing doubled.

        A provider call has exactly one record. A record without a provider call is one of an attempt that never reached the
        provider: it failed at no cost, or its function was killed between reserving and calling, which nobody can tell from
        being killed just after; then it is estimated and says ``abandoned``.
        """
        for tenant_id, kept in self.records.items():
            by_call: dict[str, list[Record]] = collections.defaultdict(list)
            for record in kept:
                by_call[record["call_id"]].append(record)
                self._check_record(record, tenant_id)
            seen = collections.defaultdict(list)
            for call in self.calls[tenant_id]:
                seen[call["call_id"]].append(call)
            self.counts["provider_calls"] += len(self.calls[tenant_id])
            self.counts["records"] += len(kept)
            for call_id in seen.keys() | by_call.keys():
                self._check_call(call_id, seen[call_id], by_call[call_id])
        outcomes: dict[str, set[str]] = collections.defaultdict(set)
        for record in self.all_records:
            outcomes[record["call_id"]].add(record["outcome"])
        for call_id in succeeded:
            # The tables were throttled for longer than its function tried to write the record: the sweep wrote it.
            self.counts["answered_and_estimated"] += "completed" not in outcomes[call_id]
            if not outcomes[call_id] & {"completed", "abandoned"}:
                self.fault(f"lost: {call_id} was answered and has no record that says so")

    def _check_record(self, record: Record, tenant_id: str) -> None:
        outcome, costs, reserved = record["outcome"], int(record["cost_nanousd"]), int(record["reserved_nanousd"])
        self.counts[f"records_{outcome}"] += 1
        self.counts["records_estimated"] += bool(record["is_estimated"])
        if record["tenant_id"] != tenant_id:
            self.fault(f"a record of {record['tenant_id']} is in a partition of {tenant_id}")
        if costs > reserved:
            self.fault(f"{record['SK']} costs {costs} and had {reserved} reserved")
        if outcome != "abandoned" and costs != cost(self.prices[record["model"]], record["usage"]):
            self.fault(f"{record['SK']} costs {costs} for {record['usage']} of {record['model']}")
        if outcome == "completed" and record["is_estimated"]:
            self.fault(f"{record['SK']} completed and is estimated")
        if outcome == "abandoned" and (not record["is_estimated"] or costs != reserved):
            self.fault(f"{record['SK']} was abandoned and costs {costs} of {reserved}")

    def _check_call(self, call_id: str, seen: list[dict[str, Any]], kept: list[Record]) -> None:
        if len(seen) > len(kept):
            self.fault(f"lost: the provider was asked {len(seen)} times for {call_id}, which has {len(kept)} records")
        attempts = sorted(int(record["attempt"]) for record in kept)
        if attempts != list(range(1, len(kept) + 1)):
            self.fault(f"{call_id} has records of attempts {attempts}")
        unseen = len(kept) - len(seen)
        may_be_unseen = sum(self._may_be_unseen(record) for record in kept)
        if unseen > may_be_unseen:
            self.fault(f"doubled: the provider was asked {len(seen)} times for {call_id}, which has {len(kept)} records")
        self.counts["records_without_provider_call"] += max(unseen, 0)
        completed = [record for record in kept if record["outcome"] == "completed"]
        given = [call for call in seen if call["outcome"] == "completed" and call["status"] == 200]
        if len(completed) > len(given):
            self.fault(f"{call_id} completed {len(completed)} times by its records and {len(given)} times by the provider")
        for record, call in zip(completed, given, strict=False):
            billed = {kind: int(call["usage"].get(kind, 0)) for kind in ("input", "output")}
            metered = {kind: int(record["usage"].get(kind, 0)) for kind in ("input", "output")}
            if len(completed) == len(given) == 1 and billed != metered:
                self.fault(f"{call_id}: the provider bills {billed}, the record says {metered}")

    @staticmethod
    def _may_be_unseen(record: Record) -> bool:
        return record["outcome"] == "abandoned" or record["outcome"] != "completed" and int(record["cost_nanousd"]) == 0

    def check_meters(self, meters: dict[str, Meter], expected: dict[str, set[str]], skew_ms: int) -> None:
        """Counters are the sums of records, in each window of each meter, and each call is held by the meters it must be.

        ``meters`` by the names that records have for them; ``expected`` names those of a record by its key.
        """
        held: dict[str, list[Record]] = collections.defaultdict(list)
        for record in self.all_records:
            named = {name.partition(" shard=")[0].partition(" part=")[0] for name in record["meters"]}
            if named != expected[record["SK"]]:
                self.fault(f"{record['SK']} is held by {sorted(named)}, not by {sorted(expected[record['SK']])}")
            for name in named:
                held[name].append(record)
        for name, meter in meters.items():
            if meter.open:
                self.fault(f"{name} still has open {sorted(meter.open)}")
            self._check_counters(name, meter, held.pop(name, []), skew_ms)
        for name in held:
            self.fault(f"records are held by {name}, which is no meter")

    def _check_counters(self, name: str, meter: Meter, records: list[Record], skew_ms: int) -> None:
        self.counts["meters"] += 1
        sums = {
            "req": lambda record: int(int(record["attempt"]) == 1),
            "in": _input,
            "out": lambda record: int(record["usage"].get("output", 0)),
            "tok": lambda record: _input(record) + int(record["usage"].get("output", 0)),
            "usd": lambda record: int(record["cost_nanousd"]),
        }
        for prefix, amount in sums.items():
            for period in ("min", "day", "week", "month", "quarter", "year", "total"):
                counter = f"{prefix}_{period}"
                if counter not in meter.item or period == "min" and "minute" not in meter.item:
                    continue
                least, most = _bounds(period, meter, records, amount, skew_ms)
                if not least <= meter.count(counter) <= most:
                    should = f"its records add up to {most}" if least == most else f"not between {least} and {most}"
                    self.fault(f"{name}: {counter} is {meter.count(counter)}, {should}")
            self.counts["counters"] += 1


def _bounds(period: str, meter: Meter, records: list[Record], amount: Callable[[Record], int], skew_ms: int) -> tuple[int, int]:
    """What a counter may be: at least what began in its window by its own clock, at most what did by any clock.

    The two differ only where a window began while calls ran, as minutes do, and days at midnight.
    """
    total = sum(map(amount, records))
    if "minute" in meter.item:
        begins = begin_ms(period, int(meter.item["minute"]))
        least = sum(amount(record) for record in records if int(record["started_ms"]) >= begins + MINUTE_MS // 60)
        most = sum(amount(record) for record in records if int(record["started_ms"]) >= begins - 2 * skew_ms - MINUTE_MS)
        return least, most
    # Several shards, each of which begins windows by itself.
    started = [int(record["started_ms"]) for record in records]
    margin = 2 * skew_ms + MINUTE_MS
    windows = {begin_ms(period, time_ms // MINUTE_MS) for time in started for time_ms in (time - margin, time + margin)}
    return (total if len(windows) < 2 else 0), total


def begin_ms(period: str, minute: int) -> int:
    """When the window that this minute is in began, in Unix milliseconds."""
    if period == "total":
        return 0
    at = datetime.fromtimestamp(minute * 60, timezone.utc)
    day = at.replace(hour=0, minute=0)
    begins = {
        "min": at,
        "day": day,
        "week": day - timedelta(days=day.weekday()),
        "month": day.replace(day=1),
        "quarter": day.replace(month=day.month - (day.month - 1) % 3, day=1),
        "year": day.replace(month=1, day=1),
    }
    return int(begins[period].timestamp()) * 1000


def _input(record: Record) -> int:
    kinds = ("input", "cache_read", "cache_write_5m", "cache_write_1h")
    return sum(int(record["usage"].get(kind, 0)) for kind in kinds)
