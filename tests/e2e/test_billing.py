"""Bills over HTTP: plans, entries, drafts, a month that is closed, corrected and compared, prices of one's own."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import secrets
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.conditions import Key

from ledger import Ledger, usage_key
from money_elsewhere import statement_faults
from stack import Caller, Stack
from tenants import Tenants
from waiting import until

MODEL = "nova-pro"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 50}
USD = 1_000_000_000
NOW = datetime.now(UTC)
THIS_MONTH = f"{NOW:%Y-%m}"
LAST_MONTH = f"{NOW.replace(day=1) - timedelta(days=1):%Y-%m}"


@pytest.fixture(scope="module")
def admin(stack: Stack) -> Caller:
    """Somebody who runs the organisation."""
    return stack.person("globex", "org_admin")


@pytest.fixture
def tenant(tenants: Tenants) -> Caller:
    """A machine of a tenant without limits, in a line of business of its own."""
    return tenants.tenant(tenants.lob(), [MODEL])


@pytest.fixture
def books(stack: Stack) -> Iterator[None]:
    """Books in which no month is closed, before and afterwards: another run closes the same one."""
    _forget_books(stack)
    yield
    _forget_books(stack)


def _forget_books(stack: Stack) -> None:
    table = stack.table("LedgerTableName")
    items = table.query(KeyConditionExpression=Key("PK").eq("ORG#BILLING"))["Items"]
    for item in items:
        table.delete_item(Key={"PK": item["PK"], "SK": item["SK"]})
    s3, bucket = stack.aws("s3"), stack.outputs["StatementsBucketName"]
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"statements/{LAST_MONTH}/"):
        for entry in page.get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=entry["Key"])


def ask(caller: Caller, method: str, path: str, status: int, **request: Any) -> Any:
    """The JSON that a request is answered with."""
    answer = caller.send(method, path, **request)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def account(tenant: Caller) -> str:
    """The account of a tenant."""
    return f"tenant={tenant.tenant_id}"


def call(tenant: Caller, ledger: Ledger) -> dict[str, Any]:
    """A call's usage record."""
    answer = tenant.post_chat(CHAT)
    assert answer.status_code == 200, answer.text
    return ledger.record(tenant, answer.headers["x-request-id"])


def a_month_ago(tenant: Caller, ledger: Ledger) -> dict[str, Any]:
    """The record of a call as if it had been made on the 15th of last month."""
    made = call(tenant, ledger)
    then_ms = int(datetime.fromisoformat(f"{LAST_MONTH}-15T12:00:00+00:00").timestamp() * 1000)
    call_id = f"{then_ms:012x}7{secrets.token_hex(10)[:19]}"
    record = {**made, **usage_key(tenant.tenant_id, call_id), "call_id": call_id, "started_ms": then_ms, "meters": []}
    ledger.table.put_item(Item=record)
    # The month then has this call only.
    ledger.table.delete_item(Key={"PK": made["PK"], "SK": made["SK"]})
    return record


def entry(tenant: Caller, amount: int, **more: Any) -> dict[str, Any]:
    """A credit or an adjustment, as a request."""
    kind = "credit" if amount < 0 else "adjustment"
    return {
        "id": f"e2e-{uuid.uuid4().hex}",
        "account": account(tenant),
        "kind": kind,
        "amount_nanousd": amount,
        "reason": "Outage of the third",
        **more,
    }


def test_a_draft_has_what_was_called_booked_and_agreed(admin: Caller, tenant: Caller, ledger: Ledger) -> None:
    plan = {"id": "team", "valid_from": THIS_MONTH, "flat_fee_nanousd": 99 * USD, "markup_bp": 1250}
    ask(admin, "PUT", f"/billing/plans?account={account(tenant)}", 200, json=plan)
    ask(admin, "POST", "/billing/entries", 201, json=entry(tenant, -5 * USD))
    records = [call(tenant, ledger) for _ in range(2)]
    path = f"/statements/{THIS_MONTH}"
    ask(admin, "GET", f"{path}?account={account(tenant)}", 404)
    ask(admin, "POST", f"{path}/draft?account={account(tenant)}", 202)

    def drafted() -> dict[str, Any] | None:
        answer = admin.send("GET", f"{path}?account={account(tenant)}&draft=true")
        return answer.json() if answer.status_code == 200 else None

    draft = until(drafted, "the draft to be made")
    assert draft["version"] == 0
    assert statement_faults(draft, records) == []
    totals = draft["totals"]
    assert (totals["flat_fee_nanousd"], totals["credits_nanousd"]) == (99 * USD, -5 * USD)
    assert totals["total_nanousd"] == totals["charge_nanousd"] + 94 * USD
    cost = sum(int(record["cost_nanousd"]) for record in records)
    assert abs(totals["charge_nanousd"] - cost * 1.125) <= 1


def test_a_month_is_closed_corrected_and_stays_what_it_is(
    stack: Stack, books: None, admin: Caller, tenant: Caller, ledger: Ledger
) -> None:
    records = [a_month_ago(tenant, ledger) for _ in range(3)]
    credit = entry(tenant, -7, period=LAST_MONTH)
    ask(admin, "POST", "/billing/entries", 201, json=credit)
    assert ask(admin, "GET", f"/months/{LAST_MONTH}", 200)["state"] == "open"
    ask(admin, "POST", f"/months/{LAST_MONTH}/close", 202)

    def closed() -> dict[str, Any] | None:
        month = ask(admin, "GET", f"/months/{LAST_MONTH}", 200)
        return month if month["state"] == "closed" else None

    month = until(closed, f"{LAST_MONTH} to be closed", timeout_s=120)["closed"]
    assert month["records"] >= len(records)
    ask(admin, "POST", f"/months/{LAST_MONTH}/close", 200)
    ask(admin, "POST", "/billing/entries", 409, json=entry(tenant, -7, period=LAST_MONTH))
    assert ask(admin, "POST", "/billing/entries", 200, json=credit)["id"] == credit["id"], "it stands there"

    (issued,) = ask(admin, "GET", f"/statements?account={account(tenant)}", 200)["data"]
    path = f"/statements/{LAST_MONTH}?account={account(tenant)}"
    statement = ask(admin, "GET", path, 200)
    assert statement_faults(statement, records) == []
    cost = sum(int(record["cost_nanousd"]) for record in records)
    assert statement["totals"]["total_nanousd"] == issued["total_nanousd"] == cost - 7
    rest = {name: value for name, value in statement.items() if name != "digest"}
    text = json.dumps(rest, separators=(",", ":"), ensure_ascii=False)
    assert statement["digest"] == issued["digest"] == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    sheet = admin.send("GET", f"{path}&format=csv")
    assert sheet.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(sheet.text)))
    *parts, total = [Decimal(row["amount_usd"]) for row in rows]
    assert sum(parts) == total == Decimal(cost - 7) / USD
    paper = admin.send("GET", f"{path}&format=pdf")
    assert paper.headers["content-type"] == "application/pdf"
    stored = stack.aws("s3").get_object(
        Bucket=stack.outputs["StatementsBucketName"], Key=f"statements/{LAST_MONTH}/{account(tenant)}/statement.pdf"
    )
    assert paper.content == stored["Body"].read(), "no byte of it is changed on the way"
    lob = ask(admin, "GET", f"/statements/{LAST_MONTH}?account=lob={tenant.lob_id}", 200)
    assert [(it["tenant_id"], it["total_nanousd"]) for it in lob["tenants"]] == [(tenant.tenant_id, cost - 7)]

    late = a_month_ago(tenant, ledger)
    for booked in (1, 0):
        assert run(stack, {"task": "corrections"})["booked"] >= booked
    entries = ask(admin, "GET", f"/billing/entries?account={account(tenant)}&from={THIS_MONTH}", 200)["data"]
    assert [(it["kind"], it["amount_nanousd"]) for it in entries] == [("correction", int(late["cost_nanousd"]))]
    assert ask(admin, "GET", path, 200) == statement, "for ever"


def run(stack: Stack, task: dict[str, Any]) -> dict[str, Any]:
    """What the function that bills answers to a task."""
    answer = stack.aws("lambda").invoke(FunctionName=stack.outputs["BillingFunctionName"], Payload=json.dumps(task))
    outcome = json.load(answer["Payload"])
    assert "FunctionError" not in answer, outcome
    return outcome


def test_finance_gets_a_focus_file(stack: Stack, tenant: Caller, ledger: Ledger) -> None:
    record = call(tenant, ledger)

    def row() -> dict[str, str] | None:
        key = run(stack, {"task": "focus_export", "period": THIS_MONTH})["key"]
        body = stack.aws("s3").get_object(Bucket=stack.outputs["StatementsBucketName"], Key=key)["Body"].read()
        rows = csv.DictReader(io.StringIO(body.decode()))
        return next((row for row in rows if row["SubAccountId"] == tenant.tenant_id), None)

    found = until(row, "the rollups to have the call")
    assert Decimal(found["BilledCost"]) == Decimal(int(record["cost_nanousd"])) / USD


def test_a_month_is_compared_where_aws_exports_what_it_bills(stack: Stack, admin: Caller) -> None:
    assert "CurBucketName" in run(stack, {"task": "reconcile", "period": LAST_MONTH})["refused"]
    assert ask(admin, "GET", "/reconciliations", 200)["data"] == []
    ask(admin, "GET", f"/reconciliations/{LAST_MONTH}", 404)
    ask(admin, "POST", f"/reconciliations/{THIS_MONTH}", 409)


def test_own_prices_go_before_the_book_on_the_next_call(admin: Caller, tenant: Caller, ledger: Ledger) -> None:
    before = call(tenant, ledger)
    ends = (datetime.now(UTC) + timedelta(seconds=90)).replace(microsecond=0).isoformat()
    version = f"e2e-{secrets.token_hex(4)}"
    own = {"valid_until": ends, "models": {MODEL: {"input": 7_000_000, "output": 9_000_000}}}
    path = f"/prices/overrides/{version}"
    answer = admin.send("PUT", path, json=own, headers={"if-match": "*"})
    assert answer.status_code in (200, 201), answer.text
    (price,) = ask(admin, "GET", f"/prices?model={MODEL}", 200)["data"]
    assert price["price_version"] == f"{before['price_version']}+{version}"

    def priced() -> dict[str, Any] | None:
        record = call(tenant, ledger)
        return record if record["price_version"] != before["price_version"] else None

    record = until(priced, "the price to be known to every instance", timeout_s=75)
    usage = record["usage"]
    assert record["price_version"] == price["price_version"]
    assert int(record["cost_nanousd"]) == -(-(int(usage["input"]) * 7_000_000 + int(usage["output"]) * 9_000_000) // 1000)
    refused = admin.send("PUT", path, json={"models": {MODEL: {"input": 1, "output": 1}}}, headers={"if-match": "*"})
    assert refused.status_code == 409, "records name it"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/months/{LAST_MONTH}/close"),
        ("POST", "/billing/entries"),
        ("PUT", "/billing/plans?account=org"),
        ("POST", f"/reconciliations/{LAST_MONTH}"),
        ("PUT", "/prices/overrides/mine"),
        ("DELETE", "/prices/overrides/mine"),
    ],
)
def test_who_does_not_keep_the_books_changes_nothing(stack: Stack, tenant: Caller, method: str, path: str) -> None:
    body = {"json": entry(tenant, -1)} if path.endswith("entries") else {"json": {"models": {}}}
    for caller in (tenant, stack.person("acme", "viewer"), stack.person("acme", "tenant_admin")):
        answer = caller.send(method, path, headers={"if-match": "*"}, **body)
        assert answer.status_code == 403, answer.text


def test_another_tenants_bills_are_not_there(stack: Stack, admin: Caller, tenant: Caller) -> None:
    ask(admin, "POST", "/billing/entries", 201, json=entry(tenant, -1))
    other = stack.person("acme", "tenant_admin")
    for path in (
        f"/statements?account={account(tenant)}",
        f"/statements/{THIS_MONTH}?account={account(tenant)}",
        f"/billing/entries?account={account(tenant)}",
        f"/billing/plans?account={account(tenant)}",
        f"/statements?account=lob={tenant.lob_id}",
    ):
        absent = other.send("GET", path.replace(tenant.tenant_id, "nobody").replace(tenant.lob_id, "nobody"))
        answer = other.send("GET", path)
        assert (answer.status_code, absent.status_code) == (404, 404), answer.text
        expected = absent.json()["error"]["message"]
        message = answer.json()["error"]["message"]
        assert message.replace(tenant.tenant_id, "nobody").replace(tenant.lob_id, "nobody") == expected
