#!/usr/bin/env python3
"""Write the prices of the seed's Bedrock models into ``infra/seed/prices.json``, from the rows of ``bedrock.json``.

A registered model has the rates of exactly what it is called by (``provider_model_id``, profile included), in every tier and
Region that has a row. Other providers' models keep what the seed says of them, and so do those whose rows differ by quality.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SEED = HERE.parent / "seed"
TIERS = ["default", "priority", "flex", "batch"]


def rate(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a rate of a price book. It needs no scope: a registered model has one profile."""
    return {name: row[name] for name in ("region", "service_tier", "price") if name in row}


def prices_of(rows: list[dict[str, Any]]) -> Any:
    """The shortest way to write them: one price if there is one for all."""
    rates = [rate(row) for row in rows]
    return rates[0]["price"] if len(rates) == 1 and rates[0].keys() == {"price"} else rates


def as_json(value: Any, indent: str = "  ") -> str:
    """JSON, what is short in one line."""
    line = json.dumps(value).replace("{", "{ ").replace("}", " }")
    if len(indent) + len(line) <= 110 or not isinstance(value, (dict, list)):
        return line
    deeper = indent + "  "
    if isinstance(value, dict):
        inner = [f"{deeper}{json.dumps(name)}: {as_json(of, deeper)}" for name, of in value.items()]
        return "{\n" + ",\n".join(inner) + f"\n{indent}}}"
    return "[\n" + ",\n".join(deeper + as_json(of, deeper) for of in value) + f"\n{indent}]"


def main() -> None:
    """Update the seed."""
    rows = json.loads((HERE / "bedrock.json").read_text(encoding="utf-8"))["rows"]
    models = json.loads((SEED / "models.json").read_text(encoding="utf-8"))
    path = SEED / "prices.json"
    book = json.loads(path.read_text(encoding="utf-8"))
    for model in models:
        own = [row for row in rows if row["id"] == model["provider_model_id"]]
        if "provider" not in model and own and not any("variant" in row for row in own):
            in_order = sorted(own, key=lambda row: (row.get("region", ""), TIERS.index(row.get("service_tier", "default"))))
            book["models"][model["id"]] = prices_of(in_order)
    path.write_text(as_json(book, "") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
