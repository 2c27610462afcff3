"""Before a model ends: calls of who wants it are made of the successor as well, and the two can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions import Functions
from ledger import Ledger
from lives import MODEL, Made, make_machine, make_tenant, new
from stack import Caller, Stack
from tenants import Tenants
from test_lake import QUERIES, Lake
from test_models import KNOWN_WITHIN, entry, forget, priced, refusal
from waiting import until

SUCCESSOR = "nova-lite"
Record = dict[str, Any]


@pytest.fixture
def leaving(stack: Stack, admin: Caller, tenants: Tenants) -> Iterator[str]:
    """A model that ends in a month, and is followed by another; it is forgotten after the test."""
    model = new("leaving")
    ends = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    document = entry(end_of_life={"retires_on": ends, "successor": SUCCESSOR})
    made = admin.send("PUT", f"/registry/models/{model}", json=document, headers={"if-none-match": "*"})
    assert made.status_code == 201, made.text
    # While it is a draft: no instance is to know it without its price.
    until(lambda: priced(admin, model), "the model to have a price", KNOWN_WITHIN)
    other_admin = tenants.person(tenants.tenant(tenants.lob(), [MODEL]), "org_admin")
    etag = {"if-match": made.headers["etag"]}
    approved = other_admin.send("POST", f"/registry/models/{model}/stage", json={"stage": "approved"}, headers=etag)
    assert approved.status_code == 200, approved.text
    yield model
    forget(stack, f"MODEL#{model}", f"PRICE_OVERRIDES#{model}")


def call(caller: Caller, model: str, *, is_streamed: bool) -> str:
    """Makes a call with the official SDK; its id."""
    answer = caller.openai.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": "Hello."}], max_tokens=20, stream=is_streamed
    )
    said = answer.parse()
    if is_streamed:
        assert list(said)
    else:
        assert said.choices
    return answer.headers["x-request-id"]


def shadows(ledger: Ledger, tenant: str) -> dict[str, Record]:
    """Usage records of calls that were made once more, by the calls that they repeat."""
    return {record["shadow_of"]: record for record in ledger.records(tenant) if "shadow_of" in record}


def test_calls_are_made_of_the_successor_as_well(
    admin: Caller, made: Made, lob: str, leaving: str, ledger: Ledger, stack: Stack
) -> None:
    models = [leaving, SUCCESSOR]
    tenant = make_tenant(admin, made, lob, models=models, settings={"shadow": {"percent": 100}})
    caller = make_machine(admin, tenant, lob)
    bystander = make_machine(admin, make_tenant(admin, made, lob, models=models), lob)
    for each in (caller, bystander):
        until(lambda each=each: refusal(each, leaving) is None, "the model to be called", KNOWN_WITHIN)
    unasked = call(bystander, leaving, is_streamed=False)

    calls = [call(caller, leaving, is_streamed=is_streamed) for is_streamed in (False, True)]
    found = until(
        lambda: seen if calls and set(calls) <= (seen := shadows(ledger, tenant)).keys() else None,
        "the calls to be made once more",
    )
    for call_id, is_streamed in zip(calls, (False, True), strict=True):
        client, shadow = ledger.record(caller, call_id), found[call_id]
        assert (client["model"], shadow["model"]) == (leaving, SUCCESSOR)
        assert (shadow["outcome"], shadow["attempt"], shadow["is_streamed"]) == ("completed", 1, is_streamed)
        assert shadow["priority_class"] == "batch"
        assert shadow["call_id"] != call_id
        for same in ("tenant_id", "lob_id", "principal_id", "dialect"):
            assert shadow[same] == client[same]
        # It is paid for, and held to the tenant's limits, as any call.
        assert int(shadow["cost_nanousd"]) > 0
        assert "shadow_of" not in client
    until(lambda: not ledger.meter(f"TENANT#{tenant}").open, "everything to be settled")
    assert ledger.record(bystander, unasked)["model"] == leaving
    assert shadows(ledger, bystander.tenant_id) == {}, "who has not asked for it pays for nothing"

    lake = Lake(stack)

    def compared() -> list[dict[str, str | None]]:
        Functions(stack).write_lake()
        rows = [row for row in lake.query(QUERIES["shadow-comparison"]) if row["model"] == leaving]
        return rows if len(rows) == 2 and int(rows[0]["pairs"] or 0) >= len(shadows(ledger, tenant)) else []

    of_model, of_successor = until(compared, "both sides to be in the lake", 120)
    assert (of_model["is_shadow"], of_successor["is_shadow"]) == ("false", "true")
    pairs = shadows(ledger, tenant)
    clients = {record["call_id"]: record for record in ledger.records(tenant)}
    for row, side in ((of_model, [clients[call_id] for call_id in pairs]), (of_successor, list(pairs.values()))):
        assert row["successor"] == SUCCESSOR
        assert int(row["pairs"] or 0) == len(side)
        assert int(row["cost_nanousd"] or 0) == sum(int(record["cost_nanousd"]) for record in side)
        assert int(row["failed"] or 0) == 0
        latencies = sorted(int(record["latency_ms"]) for record in side)
        assert int(row["p50_latency_ms"] or 0) == latencies[(len(latencies) - 1) // 2]
        assert row["p95_time_to_first_token_ms"] is not None


def test_a_share_that_is_none_is_refused_by_its_name(admin: Caller, made: Made, lob: str) -> None:
    tenant = make_tenant(admin, made, lob)
    for percent in (0, 101):
        document = {"name": "Initech", "lob_id": lob, "models": [MODEL], "settings": {"shadow": {"percent": percent}}}
        answer = admin.send("PUT", f"/tenants/{tenant}", json=document, headers={"if-match": "*"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "settings.shadow.percent"), answer.text
