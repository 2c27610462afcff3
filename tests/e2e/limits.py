"""Limits as the tenancy table holds them, from the short form that most tests use."""

from __future__ import annotations

from typing import Any

#: ``<what>_per_<period>``, as tests say it, and the metric that it means.
METRICS = {
    "budget": "cost",
    "requests": "requests",
    "tokens": "total_tokens",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
}


def rule(metric: str, period: str | None, amount: int, **more: Any) -> dict[str, Any]:
    """One hard limit; ``more`` are further attributes of it, such as ``models``."""
    named = "-".join([metric.replace("_", "-"), *([period] if period else []), *more.get("models", {}).values()])
    return {"id": named, "metric": metric, **({"period": period} if period else {}), "amount": amount, **more}


def rules(**amounts: int) -> list[dict[str, Any]]:
    """Limits from keywords: ``budget_per_month=5`` (nano-USD), ``tokens_per_day=7``, ``requests_per_minute=3``."""
    found = []
    for name, amount in amounts.items():
        what, _, period = name.rpartition("_per_")
        found.append(rule(METRICS[what], period, amount))
    return found
