"""The ledger as it stands in DynamoDB: meters and usage records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from boto3.dynamodb.conditions import Key

from stack import Caller, Stack
from waiting import until

#: A tenant's usage records are in so many partitions, by the last digit of the call's id.
BUCKETS = "0123456789abcdef"
#: How counters' attributes begin: requests, input, output and total tokens, money.
PREFIXES = ("req", "in", "out", "tok", "usd")


def usage_key(tenant_id: str, call_id: str, attempt: int = 1) -> dict[str, str]:
    """The key of the record of one provider call."""
    return {"PK": f"TENANT#{tenant_id}#USAGE#{call_id[-1]}", "SK": f"USAGE#{call_id}#{attempt}"}


def partitions(scope: str, shards: int) -> list[str]:
    """The partitions that a scope's meters are in, laid out as the first time."""
    return [f"{scope}#SHARD#1-{shard}" for shard in range(shards)] if shards > 1 else [scope]


@dataclass(frozen=True)
class Meter:
    """A scope's meter at one moment."""

    item: dict[str, Any]

    @classmethod
    def of_shards(cls, shards: list[Meter]) -> Meter:
        """What they have counted together; not of minutes, since each of them begins those itself."""
        if len(shards) == 1:
            return shards[0]
        counters = {name for shard in shards for name in shard.item if "_" in name and name.split("_")[0] in PREFIXES}
        item: dict[str, Any] = {name: sum(shard.count(name) for shard in shards) for name in counters if not name.endswith("_min")}
        return cls(item | {"open": {key: call for shard in shards for key, call in shard.open.items()}})

    def count(self, counter: str) -> int:
        """A counter by the name of its attribute, such as ``usd_month``: settled or reserved in its current window."""
        return int(self.item.get(counter, 0))

    @property
    def settled(self) -> int:
        """Nano-USD that are spent, of all time: no window of it ends while a test runs."""
        return self.count("usd_total") - self.reserved

    @property
    def committed(self) -> int:
        """Nano-USD that are spent or reserved, by the meter's own count."""
        return self.count("usd_total")

    @property
    def day_tokens(self) -> int:
        """Tokens of this day, reserved or used."""
        return self.count("tok_day")

    @property
    def open(self) -> dict[str, Any]:
        """Reservations by provider call: ``<call id>-<attempt>``."""
        return self.item.get("open", {})

    @property
    def open_calls(self) -> set[str]:
        """The ids of calls that a reservation is open for."""
        return {key.rpartition("-")[0] for key in self.open}

    @property
    def reserved(self) -> int:
        """Nano-USD of all open reservations, added up here."""
        return sum(int(reservation["a"]) for reservation in self.open.values())


@dataclass(frozen=True)
class Ledger:
    """Reads of the ledger, all of them consistent."""

    stack: Stack

    @cached_property
    def table(self) -> Any:
        """The table itself."""
        return self.stack.table("LedgerTableName")

    def meter(self, scope: str, kind: str = "METER") -> Meter:
        """The meter of ``TENANT#..``, ``LOB#..`` or ``ORG``; an empty one where nothing was counted yet."""
        return Meter(self.table.get_item(Key={"PK": scope, "SK": kind}, ConsistentRead=True).get("Item", {}))

    def meters(self, scope: str) -> dict[str, Meter]:
        """All meters in a scope's partition by their sort keys: ``METER``, ``METER#MODEL#..``, ``METER#PROJECT#..``."""
        return {item["SK"]: Meter(item) for item in self._query(scope, "METER")}

    def records(self, tenant_id: str) -> list[dict[str, Any]]:
        """All usage records of a tenant, oldest call first."""
        partitions = (f"TENANT#{tenant_id}#USAGE#{bucket}" for bucket in BUCKETS)
        return sorted((item for partition in partitions for item in self._query(partition, "USAGE#")), key=lambda it: it["SK"])

    def _query(self, partition: str, prefix: str) -> list[dict[str, Any]]:
        wanted = Key("PK").eq(partition) & Key("SK").begins_with(prefix)
        query = {"KeyConditionExpression": wanted, "ConsistentRead": True}
        items = []
        while True:
            page = self.table.query(**query)
            items += page["Items"]
            if "LastEvaluatedKey" not in page:
                return items
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def find(self, tenant_id: str, call_id: str, attempt: int = 1) -> dict[str, Any] | None:
        """The record of one provider call made for a call, if there is one."""
        return self.table.get_item(Key=usage_key(tenant_id, call_id, attempt), ConsistentRead=True).get("Item")

    def record(self, caller: Caller, call_id: str) -> dict[str, Any]:
        """The record of a caller's call, once it is written and no scope has a reservation for it any more."""
        record = until(lambda: self.find(caller.tenant_id, call_id), f"the usage record of {call_id}")
        for scope in caller.scopes:
            until(lambda scope=scope: call_id not in self.meter(scope).open_calls, f"{call_id} to be settled in {scope}")
        return record

    def still_open(self, scope: str, done: set[str]) -> set[str]:
        """Calls that a scope holds a reservation for, once none of the ``done`` ones is among them."""
        until(lambda: not done & self.meter(scope).open_calls, f"the done calls to be settled in {scope}", 120)
        return self.meter(scope).open_calls

    def settled_meter(self, scope: str) -> Meter:
        """The meter of a scope, once nothing is open in it."""
        until(lambda: not self.meter(scope).open, f"everything to be settled in {scope}", 120)
        return self.meter(scope)
