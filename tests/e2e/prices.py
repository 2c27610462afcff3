"""What models cost, read from the catalogue as it is."""

from __future__ import annotations

from typing import Any

from stack import Stack


def prices(stack: Stack, models: list[str]) -> dict[str, dict[str, int]]:
    """Pico-USD per unit by model and kind: on demand, in the default tier, of the youngest price book."""
    books = stack.table("TenancyTableName").query(
        KeyConditionExpression="PK = :pk AND begins_with(SK, :prices)",
        ExpressionAttributeValues={":pk": "CATALOG", ":prices": "PRICES#"},
    )["Items"]
    book = max(books, key=lambda book: book["valid_from"])
    return {model: _plain(book["models"][model]) for model in models}


def _plain(rates: list[dict[str, Any]]) -> dict[str, int]:
    price = next(rate["price"] for rate in rates if rate.keys() == {"price"})
    return {kind: int(amount) for kind, amount in price.items() if not isinstance(amount, list)}


def cost(price: dict[str, int], usage: dict[str, Any]) -> int:
    """Nano-USD of plain input and output: the exact sum, rounded up once."""
    pico = sum(int(usage.get(kind, 0)) * price[kind] for kind in ("input", "output"))
    return -(-pico // 1000)
