"""Models and aliases of the organisation for one test module only."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from stack import ROOT, Stack
from waiting import until

#: An instance may answer by what it read so many seconds ago before it says that there is no such model
#: (``Freshness::Recent`` in crates/gateway/src/cache.rs).
RECENT_S = 1.0

#: The models of the seed, by id, and their prices.
SEEDED = {model["id"]: model for model in json.loads((ROOT / "infra/seed/models.json").read_text(encoding="utf-8"))}
PRICES = json.loads((ROOT / "infra/seed/prices.json").read_text(encoding="utf-8"))


@dataclass
class Catalog:
    """Adds to the registry, and removes it again.

    What is added has new names, so that no instance can remember anything of them: neither that they are unknown, nor
    that they failed. The price book keeps its version: it gets prices of models that nobody else calls.
    """

    stack: Stack
    _keys: list[dict[str, str]] = field(default_factory=list)
    _models: list[str] = field(default_factory=list)

    @cached_property
    def _tenancy(self) -> Any:
        return self.stack.table("TenancyTableName")

    @cached_property
    def _ledger(self) -> Any:
        return self.stack.table("LedgerTableName")

    @property
    def _book(self) -> dict[str, str]:
        return {"PK": "CATALOG", "SK": f"PRICES#{PRICES['version']}"}

    def add(
        self,
        models: list[dict[str, Any]],
        prices: dict[str, dict[str, int]],
        aliases: list[dict[str, Any]] | None = None,
    ) -> None:
        """Adds models with their prices, and aliases; all instances know them when it returns."""
        items = [{"PK": "CATALOG", "SK": f"MODEL#{model['id']}", **model} for model in models]
        items += [{"PK": "CATALOG", "SK": f"ALIAS#{alias['name']}", **alias} for alias in aliases or []]
        self._keys += [{"PK": item["PK"], "SK": item["SK"]} for item in items]
        self._models += prices
        if prices:
            self._edit_book("SET", " = ", prices)
        with self._tenancy.batch_writer() as batch:
            for item in items:
                batch.put_item(Item=item)
        known = time.monotonic() + RECENT_S
        until(lambda: time.monotonic() > known, "what instances read a moment ago to be too old")

    def _edit_book(self, verb: str, assign: str, prices: dict[str, Any]) -> None:
        names = {f"#m{number}": model for number, model in enumerate(prices)}
        changes = [f"models.{name}" + (f"{assign}:{name[1:]}" if assign else "") for name in names]
        values = {f":{name[1:]}": prices[model] for name, model in names.items()} if assign else None
        self._tenancy.update_item(
            Key=self._book,
            UpdateExpression=f"{verb} {', '.join(changes)}",
            ExpressionAttributeNames=names,
            **({"ExpressionAttributeValues": values} if values else {}),
        )

    def copies(self, wanted: dict[str, int]) -> dict[str, list[str]]:
        """Adds so many models that differ from seeded ones by their names only; the names, by the seeded one's."""
        run = secrets.token_hex(3)
        names = {seeded: [f"{seeded}-{run}-{number}" for number in range(count)] for seeded, count in wanted.items()}
        self.add(
            [{**SEEDED[seeded], "id": name} for seeded, copies in names.items() for name in copies],
            {name: PRICES["models"][seeded] for seeded, copies in names.items() for name in copies},
        )
        return names

    def forget(self) -> None:
        """Removes all of it, and what the instances told each other about it."""
        with self._tenancy.batch_writer() as batch:
            for key in self._keys:
                batch.delete_item(Key=key)
        with self._ledger.batch_writer() as batch:
            for model in self._models:
                batch.delete_item(Key={"PK": "HEALTH", "SK": f"TARGET#{model}"})
        if self._models:
            self._edit_book("REMOVE", "", dict.fromkeys(self._models))
