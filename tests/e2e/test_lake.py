"""What the ledger has is in the lake, once, and every saved query says the same to the last nano-USD."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.conditions import Attr
from boto3.dynamodb.types import TypeSerializer

from functions import Functions
from ledger import Ledger
from simulator import messages
from stack import ROOT, ROUTES, Caller, Stack
from waiting import until

#: The saved queries on usage; those on the audit trail are test_audit.py's, and what compares calls with shadows is test_shadow.py's.
QUERIES = {
    path.stem: text
    for path in (ROOT / "infra/queries").glob("*.sql")
    if "FROM usage\n" in (text := path.read_text(encoding="utf-8"))
}
#: A query's sums of its groups, by what they are of.
Sums = dict[tuple[str, ...], tuple[int, ...]]
Record = dict[str, Any]


class Lake:
    """The lake, as its queries show it."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._athena = stack.aws("athena")
        self._lambda = stack.aws("lambda")

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """What ``metering-aggregator`` answers to an event."""
        name = self._stack.outputs["MeteringAggregatorFunctionName"]
        answer = self._lambda.invoke(FunctionName=name, Payload=json.dumps(event))
        payload = json.load(answer["Payload"])
        assert "FunctionError" not in answer, payload
        return payload

    def write(self) -> None:
        """Does what the schedule does every five minutes, until nothing is left to do."""
        Functions(self._stack).write_lake()

    def query(self, text: str) -> list[dict[str, str | None]]:
        """The rows of a query, all values as text."""
        started = self._athena.start_query_execution(
            QueryString=text,
            WorkGroup=self._stack.outputs["AthenaWorkgroupName"],
            QueryExecutionContext={"Database": self._stack.outputs["GlueDatabaseName"]},
        )
        execution_id = started["QueryExecutionId"]

        def ended() -> dict[str, Any] | None:
            status = self._athena.get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]["Status"]
            return status if status["State"] not in {"QUEUED", "RUNNING"} else None

        status = until(ended, "a query to end")
        assert status["State"] == "SUCCEEDED", status
        pages = self._athena.get_paginator("get_query_results").paginate(QueryExecutionId=execution_id)
        rows = [[cell.get("VarCharValue") for cell in row["Data"]] for page in pages for row in page["ResultSet"]["Rows"]]
        header, *values = rows
        return [dict(zip(header, row, strict=True)) for row in values]


@pytest.fixture(scope="module")
def lake(stack: Stack) -> Lake:
    """The lake."""
    return Lake(stack)


def all_records(ledger: Ledger) -> list[Record]:
    """Every usage record that there is, of all tenants."""
    pages, start = [], {}
    while True:
        page = ledger.table.scan(FilterExpression=Attr("SK").begins_with("USAGE#"), ConsistentRead=True, **start)
        pages.extend(page["Items"])
        if "LastEvaluatedKey" not in page:
            return pages
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def called_at(record: Record) -> datetime:
    """The time in the id of a record's call."""
    return datetime.fromtimestamp(int(record["call_id"][:12], 16) / 1000, UTC)


@pytest.fixture(scope="module")
def records(callers: dict[str, Caller], ledger: Ledger, lake: Lake) -> list[Record]:
    """All of the ledger's records, some of them just made, once as many are in the lake."""
    for tenant_id, model in ROUTES:
        answer = callers[tenant_id].post_chat({"model": model, "messages": messages(f"lake {model}"), "max_tokens": 20})
        assert answer.status_code == 200, answer.text

    def same() -> list[Record]:
        lake.write()
        (row,) = lake.query("SELECT COUNT(*) AS count FROM usage")
        found = all_records(ledger)
        return found if int(row["count"] or 0) == len(found) >= len(ROUTES) else []

    return until(same, "the lake to have what the ledger has", timeout_s=120)


def test_each_record_is_in_the_lake_once_in_the_hour_of_its_call(records: list[Record], lake: Lake) -> None:
    rows = lake.query("SELECT dt, hour, tenant_id, call_id, attempt, cost_nanousd FROM usage")
    found = Counter(tuple(row.values()) for row in rows)
    expected = Counter(
        (
            f"{called_at(record):%Y-%m-%d}",
            f"{called_at(record):%H}",
            record["tenant_id"],
            record["call_id"],
            str(record["attempt"]),
            str(record["cost_nanousd"]),
        )
        for record in records
    )
    assert found == expected
    assert set(found.values()) == {1}


def input_tokens(record: Record) -> int:
    usage = record["usage"]
    return sum(int(usage.get(kind, 0)) for kind in ("input", "input_audio", "cache_read", "cache_write_5m", "cache_write_1h"))


def output_tokens(record: Record) -> int:
    return sum(int(record["usage"].get(kind, 0)) for kind in ("output", "output_audio"))


def cost(record: Record) -> tuple[int, ...]:
    return (int(record["attempt"] == 1), 1, input_tokens(record), output_tokens(record), int(record["cost_nanousd"]))


def saved(record: Record) -> tuple[int, ...]:
    usage = record["usage"]
    written = int(usage.get("cache_write_5m", 0)) + int(usage.get("cache_write_1h", 0))
    difference = int(record["uncached_cost_nanousd"]) - int(record["cost_nanousd"])
    return (int(usage.get("cache_read", 0)), written, int(record["is_cache_hit"]), difference)


def outcomes(record: Record) -> tuple[int, ...]:
    return (1, *(int(record["outcome"] == outcome) for outcome in ("completed", "refused", "failed", "abandoned")))


COST = ["calls", "attempts", "input_tokens", "output_tokens", "cost_nanousd"]
#: What each query groups by, its sums, and how many of them a record is.
EXPECTED: dict[str, tuple[list[str], list[str], Callable[[Record], tuple[int, ...]]]] = {
    "cost-by-lob": (["lob_id"], COST, cost),
    "cost-by-tenant": (["lob_id", "tenant_id"], COST, cost),
    "cost-by-model": (["model", "service_tier"], COST, cost),
    "cost-by-provider": (["provider", "region"], COST, cost),
    "cost-by-day": (["dt", "tenant_id"], COST, cost),
    "top-users": (["tenant_id", "principal_id", "principal_kind"], COST, cost),
    "cache-savings": (["tenant_id", "model"], ["cache_read_tokens", "cache_write_tokens", "answered_by_gateway", "saved_nanousd"], saved),
    "error-rates": (["provider", "region", "model"], ["attempts", "completed", "refused", "failed", "abandoned"], outcomes),
}


def test_every_saved_query_is_expected() -> None:
    assert EXPECTED.keys() | {"shadow-comparison"} == QUERIES.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_saved_query_agrees_with_the_ledger_to_the_last_nano_usd(name: str, records: list[Record], lake: Lake) -> None:
    groups, columns, of = EXPECTED[name]
    sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * len(columns))
    for record in records:
        day = {"dt": f"{called_at(record):%Y-%m-%d}"}
        key = tuple(str({**record, **day}[group]) for group in groups)
        sums[key] = [total + more for total, more in zip(sums[key], of(record), strict=True)]
    expected: Sums = {key: tuple(values) for key, values in sums.items()}

    rows = lake.query(QUERIES[name])
    found: Sums = {
        tuple(str(row[group]) for group in groups): tuple(int(row[column] or 0) for column in columns) for row in rows
    }
    assert len(found) == len(rows)
    if name == "top-users" and len(expected) > 100:
        expected = {key: sums for key, sums in expected.items() if key in found}
        assert len(found) == 100
    assert found == expected
    for row in rows:
        for amount in ("cost", "saved"):
            if f"{amount}_usd" in row:
                assert Decimal(row[f"{amount}_usd"] or 0) * 10**9 == int(row[f"{amount}_nanousd"] or 0)


def test_records_that_are_delivered_again_are_not_in_it_twice(records: list[Record], ledger: Ledger, lake: Lake) -> None:
    serializer = TypeSerializer()
    image = [{name: serializer.serialize(value) for name, value in record.items()} for record in records[:50]]
    batch = [
        {
            "eventID": str(number),
            "eventName": "INSERT",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": int(called_at(record).timestamp()),
                "Keys": {"PK": item["PK"], "SK": item["SK"]},
                "NewImage": item,
                # Long before anything that the stream has delivered since.
                "SequenceNumber": str(number + 1),
                "SizeBytes": 1,
                "StreamViewType": "NEW_IMAGE",
            },
        }
        for number, (record, item) in enumerate(zip(records, image, strict=False))
    ]
    for _ in range(2):
        assert lake.invoke({"Records": batch}) == {"batchItemFailures": []}
        lake.write()
    (row,) = lake.query("SELECT COUNT(*) AS count, COUNT(DISTINCT call_id || '#' || CAST(attempt AS VARCHAR)) AS calls FROM usage")
    assert row["count"] == row["calls"]
    assert int(row["count"] or 0) >= len(records)
