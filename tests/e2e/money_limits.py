"""What a round of the money campaign limits: a line of business and two tenants below it, with small limits of many kinds.

Each round has other limits, chosen by its seed, so that over many rounds each kind is the one that calls run into.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from ledger import Meter, partitions
from limits import rule

#: One that is called in Converse, one in the OpenAI form and one in Anthropic's.
MODELS = ["nova-pro", "gpt-oss-20b", "claude-haiku-4-5"]
#: Nano-USD that a call of the campaign costs, about; the models differ by a factor of ten.
CALL_COST = 250_000
#: Tokens that are reserved for one, about.
CALL_TOKENS = 450
PROJECT = "checkout"

_PREFIXES = {"cost": "usd", "requests": "req", "input_tokens": "in", "output_tokens": "out", "total_tokens": "tok"}
_SUFFIXES = {"minute": "min"}


def counter(metric: str, period: str) -> str:
    """The attribute of a meter that counts a metric in a period."""
    return f"{_PREFIXES[metric]}_{_SUFFIXES.get(period, period)}"


@dataclass(frozen=True)
class Bound:
    """What a meter may never show more of."""

    #: The meter: partition and sort key.
    meter: tuple[str, str]
    #: The counter's attribute; none for calls that are open at the same time.
    counter: str | None
    amount: int

    def of_shard(self, shard: int, shards: int) -> Bound:
        """What one of several shards may show: together they may show the whole."""
        return replace(self, amount=self.amount // shards + (shard < self.amount % shards))

    @property
    def name(self) -> str:
        """For a report: the kind of the limit, without ids."""
        level = "-".join([*self.meter[0].lower().split("#")[::2], *self.meter[1].lower().split("#")[1::2]])
        return f"{level}:{self.counter or 'concurrency'}"

    def used(self, meter: Meter) -> int:
        """How much of it a meter shows."""
        return len(meter.open) if self.counter is None else meter.count(self.counter)


def _sort_key(limit: dict[str, Any], child: str = "") -> str:
    return "METER" + "".join(f"#{kind.upper()}#{name}" for kind, name in limit.get("models", {}).items()) + child


def _bounds(scope: str, limits: list[dict[str, Any]], child: str = "", percent: int = 100) -> list[Bound]:
    bounds = []
    for limit in limits:
        if limit.get("enforcement") != "soft":
            attribute = None if limit["metric"] == "concurrency" else counter(limit["metric"], limit["period"])
            bounds.append(Bound((scope, _sort_key(limit, child)), attribute, limit["amount"] * percent // 100))
    return bounds


@dataclass(frozen=True)
class TenantPlan:
    """The limits of one tenant. Its second principal is the only member of its one project."""

    own: list[dict[str, Any]]
    project: list[dict[str, Any]]
    each_principal: list[dict[str, Any]]

    def item(self, principals: list[str]) -> dict[str, Any]:
        """Attributes of the tenant's item."""
        return {
            "limits": self.own,
            "projects": {PROJECT: {"members": principals[1:], "tags": {"cost_centre": "4711"}}},
            "project_limits": {PROJECT: self.project},
            "each_principal_limits": self.each_principal,
        }

    def bounds(self, tenant_id: str, principals: list[str]) -> list[Bound]:
        """What the meters in the tenant's partition may never pass."""
        scope = f"TENANT#{tenant_id}"
        bounds = _bounds(scope, self.own) + _bounds(scope, self.project, f"#PROJECT#{PROJECT}")
        for principal in principals:
            bounds += _bounds(scope, self.each_principal, f"#PRINCIPAL#{principal}")
        return bounds

    def meters(self, tenant_id: str, record: dict[str, Any]) -> set[str]:
        """The tenant's meters that must hold a call, as its record names them."""
        tenant, model = f"tenant={tenant_id}", record["model"]
        meters = {tenant} | {f"{tenant}{_of_models(limit)}" for limit in self.own if _concerns(limit, model)}
        if record.get("project_id"):
            project = f"{tenant} project={record['project_id']}"
            meters |= {f"{project}{_of_models(limit)}" for limit in self.project if _concerns(limit, model)}
        principal = f"{tenant} principal={record['principal_id']}"
        return meters | {f"{principal}{_of_models(limit)}" for limit in self.each_principal if _concerns(limit, model)}


def _concerns(limit: dict[str, Any], model: str) -> bool:
    return limit.get("models", {}).get("model", model) == model


def _of_models(limit: dict[str, Any]) -> str:
    return "".join(f" {kind}={name}" for kind, name in limit.get("models", {}).items())


@dataclass(frozen=True)
class Plan:
    """The limits of a round."""

    lob: list[dict[str, Any]]
    tenants: list[TenantPlan]
    #: Of the meters of the line of business.
    shards: int = 1

    @classmethod
    def of(cls, rng: random.Random, calls: int) -> Plan:
        """Limits that a fifth of ``calls`` fits into, about."""
        fitting = calls // 5
        lob, tenants = _lob(rng, fitting), [_tenant(rng, fitting) for _ in range(2)]
        return cls(lob, tenants, rng.choice([1, 1, 2, 3]))

    def lob_bounds(self, lob_id: str, tenant_ids: list[str]) -> list[Bound]:
        """What the line of business' meters may never pass, and its tenants' because of their share."""
        bounds = []
        for shard, partition in enumerate(partitions(f"LOB#{lob_id}", self.shards)):
            bounds += [bound.of_shard(shard, self.shards) for bound in _bounds(partition, self.lob)]
        for limit in self.lob:
            for tenant_id in tenant_ids if "max_share" in limit else []:
                bounds += _bounds(f"TENANT#{tenant_id}", [limit], percent=limit["max_share"])
        return bounds

    def lob_meters(self, lob_id: str, record: dict[str, Any]) -> set[str]:
        """The meters of the line of business that must hold a call."""
        return {f"lob={lob_id}{_of_models(limit)}" for limit in self.lob if _concerns(limit, record["model"])}


def _some(rng: random.Random, likely: list[tuple[float, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [limit for probability, limit in likely if rng.random() < probability]


def _lob(rng: random.Random, fitting: int) -> list[dict[str, Any]]:
    share = {"max_share": rng.randint(50, 80)} if rng.random() < 0.3 else {}
    budget = rule("cost", rng.choice(["month", "quarter", "year"]), CALL_COST * fitting, **share)
    return [
        budget,
        *_some(
            rng,
            [
                (0.3, rule("total_tokens", "day", CALL_TOKENS * fitting)),
                (0.3, rule("requests", "minute", fitting)),
                (0.3, rule("concurrency", None, rng.randint(12, 24))),
                (0.3, rule("cost", "total", CALL_COST * fitting // 3, models={"model": "claude-haiku-4-5"})),
                (0.2, rule("cost", "week", 1, enforcement="soft")),
            ],
        ),
    ]


def _tenant(rng: random.Random, fitting: int) -> TenantPlan:
    half = fitting * rng.randint(40, 80) // 100
    own = [
        rule("cost", rng.choice(["day", "month"]), CALL_COST * half),
        *_some(
            rng,
            [
                (0.3, rule("requests", rng.choice(["minute", "hour", "day", "month"]), half)),
                (0.3, rule("input_tokens", rng.choice(["hour", "month"]), CALL_TOKENS * half * 3 // 4)),
                (0.3, rule("output_tokens", rng.choice(["minute", "day"]), CALL_TOKENS * half // 10)),
                (0.3, rule("cost", "week", CALL_COST * half // 2, models={"model": rng.choice(MODELS)})),
                (0.2, rule("concurrency", None, rng.randint(8, 16))),
            ],
        ),
    ]
    project = _some(rng, [(0.5, rule("cost", "week", CALL_COST * half // 3)), (0.3, rule("requests", "day", half // 3))])
    principal = _some(rng, [(0.4, rule("cost", "day", CALL_COST * half // 2)), (0.3, rule("concurrency", None, rng.randint(6, 12)))])
    return TenantPlan(own, project, principal)
