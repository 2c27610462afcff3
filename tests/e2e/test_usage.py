"""Usage and limits over HTTP: an administrator sets them, the next call meets them, everybody sees what is theirs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from queues import Queue
from stack import Caller, Stack
from tenants import Tenants
from waiting import until

MODEL = "nova-pro"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 50}
USD = 1_000_000_000


@pytest.fixture(scope="module")
def admin(stack: Stack) -> Caller:
    """Somebody who runs the organisation."""
    return stack.person("globex", "org_admin")


@pytest.fixture(scope="module")
def lob_admin(stack: Stack) -> Caller:
    """Somebody who runs acme's line of business."""
    return stack.person("acme", "lob_admin")


@pytest.fixture
def tenant(tenants: Tenants) -> Caller:
    """A machine of a tenant without limits, in a line of business without limits."""
    return tenants.tenant(tenants.lob(), [MODEL])


def limit(name: str, metric: str, period: str | None, amount: int, **more: Any) -> dict[str, Any]:
    """One limit."""
    return {"id": name, "metric": metric, "amount": amount, **({"period": period} if period else {}), **more}


def set_limits(admin: Caller, scope: str, *limits: dict[str, Any]) -> dict[str, Any]:
    """Sets limits over whatever is there."""
    answer = admin.send("PUT", f"/limits/{scope}", json={"limits": limits}, headers={"if-match": "*"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["is_effective"]
    return answer.json()


def remaining(caller: Caller, name: str) -> dict[str, Any]:
    """What the caller sees of a limit."""
    answer = caller.send("GET", "/usage/limits")
    assert answer.status_code == 200, answer.text
    return next(limit for limit in answer.json()["data"] if limit["limit_id"] == name)


@pytest.mark.parametrize("level", ["tenant", "lob", "principal", "each-principal"])
def test_a_limit_is_effective_on_the_next_call(admin: Caller, tenant: Caller, level: str) -> None:
    assert tenant.post_chat(CHAT).status_code == 200
    scope = {
        "tenant": f"tenants/{tenant.tenant_id}",
        "lob": f"lobs/{tenant.lob_id}",
        "principal": f"tenants/{tenant.tenant_id}/principals/{tenant.client_id}",
        "each-principal": f"tenants/{tenant.tenant_id}/each-principal",
    }[level]
    set_limits(admin, scope, limit("tiny", "cost", "month", 1))
    refused = tenant.post_chat(CHAT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
    set_limits(admin, scope)
    assert tenant.post_chat(CHAT).status_code == 200


def test_an_edit_resets_nothing(admin: Caller, tenant: Caller) -> None:
    scope = f"tenants/{tenant.tenant_id}"
    set_limits(admin, scope, limit("one", "requests", "month", 10))
    for _ in range(3):
        assert tenant.post_chat(CHAT).status_code == 200
    until(lambda: remaining(tenant, "one")["used"] == 3, "three calls to be settled")
    set_limits(admin, scope, limit("other", "requests", "month", 4))
    assert remaining(tenant, "other")["remaining"] == 1
    assert tenant.post_chat(CHAT).status_code == 200
    assert tenant.post_chat(CHAT).status_code == 429


def test_a_raise_is_granted_from_above(admin: Caller, tenant: Caller) -> None:
    scope = f"tenants/{tenant.tenant_id}"
    set_limits(admin, scope, limit("few", "requests", "day", 1))
    assert tenant.post_chat(CHAT).status_code == 200
    assert tenant.post_chat(CHAT).status_code == 429
    wish = {"limit_id": "few", "amount": 1, "valid_until": "2100-01-01T00:00:00Z"}
    too_long = tenant.send("POST", f"/limits/{scope}/raises", json=wish)
    assert (too_long.status_code, too_long.json()["error"]["param"]) == (400, "valid_until")
    wish["valid_until"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    asked = tenant.send("POST", f"/limits/{scope}/raises", json=wish)
    assert asked.status_code == 201, asked.text
    path = f"/limits/{scope}/raises/{asked.json()['id']}/approve"
    assert tenant.send("POST", path).status_code == 403
    granted = admin.send("POST", path)
    assert (granted.status_code, granted.json()["status"]) == (200, "approved")
    assert tenant.post_chat(CHAT).status_code == 200
    assert tenant.post_chat(CHAT).status_code == 429
    assert admin.send("POST", path).status_code == 409
    history = admin.send("GET", f"/limits/{scope}/history").json()["data"]
    actions = [(entry["action"], entry["is_allowed"]) for entry in history]
    approved = ("raise.approved", True)
    assert actions == [approved, ("raise.approved", False), ("raise.requested", True), ("limits.set", True)]


def test_two_administrators_do_not_overwrite_each_other(admin: Caller, tenant: Caller) -> None:
    scope = f"/limits/tenants/{tenant.tenant_id}"
    seen = admin.send("GET", scope)
    assert seen.headers["etag"] == f'"{seen.json()["version"]}"'
    answers = [
        admin.send("PUT", scope, json={"limits": [limit("a", "requests", "day", amount)]}, headers={"if-match": seen.headers["etag"]})
        for amount in (1, 2)
    ]
    assert [answer.status_code for answer in answers] == [200, 412]
    assert admin.send("GET", scope).json()["limits"][0]["amount"] == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": -1}, "limits[0].amount"),
        ({"amount": 1.5}, "limits[0].amount"),
        ({"amount": "5"}, "limits[0].amount"),
        ({"amount": 2**63}, "limits[0].amount"),
        ({"amount": 2**70}, "limits[0].amount"),
        ({"currency": "EUR"}, "limits[0].currency"),
        ({"colour": "red"}, "limits[0].colour"),
        ({"valid_from": "2026-12-01T00:00:00Z", "valid_until": "2026-11-01T00:00:00Z"}, "limits[0].valid_until"),
    ],
    ids=str,
)
def test_what_is_no_limit_is_refused_by_field(admin: Caller, tenant: Caller, change: dict[str, Any], field: str) -> None:
    body = {"limits": [limit("a", "cost", "month", USD) | change]}
    answer = admin.send("PUT", f"/limits/tenants/{tenant.tenant_id}", json=body, headers={"if-match": "*"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


def test_others_things_are_not_there(lob_admin: Caller, acme: Caller, tenant: Caller) -> None:
    assert lob_admin.send("GET", "/limits/tenants/acme").status_code == 200
    for path in (f"/limits/tenants/{tenant.tenant_id}", f"/limits/lobs/{tenant.lob_id}", "/limits/tenants/globex"):
        assert lob_admin.send("GET", path).status_code == 404
        assert acme.send("GET", path).status_code == 404
    assert acme.send("GET", "/limits/tenants/acme").status_code == 403
    answer = tenant.post_chat(CHAT)
    path = f"/usage/records/{answer.headers['x-request-id']}"
    assert acme.send("GET", path).status_code == 404
    until(lambda: tenant.send("GET", path).status_code == 200, "the record to be there")
    assert tenant.send("GET", path).json()["data"][0]["model"] == MODEL


def test_usage_is_summed_for_those_who_may_see_it(admin: Caller, acme: Caller, tenant: Caller) -> None:
    costs = 0
    for _ in range(3):
        answer = tenant.post_chat(CHAT)
        path = f"/usage/records/{answer.headers['x-request-id']}"
        costs += tenant.send("GET", path).json()["cost_nanousd"]

    def own() -> dict[str, Any]:
        return tenant.send("GET", "/usage?group_by=model,day").json()

    until(lambda: own()["total"]["calls"] == 3, "three calls to be summed")
    assert own()["total"]["cost_nanousd"] == costs
    assert [row["model"] for row in own()["data"]] == [MODEL]
    query = f"/usage?scope=org&tenant={tenant.tenant_id}&group_by=tenant,principal"
    assert admin.send("GET", query).json()["total"]["cost_nanousd"] == costs
    table = admin.send("GET", query, headers={"accept": "text/csv"})
    (row,) = csv.DictReader(io.StringIO(table.text))
    assert (row["tenant"], int(row["calls"]), int(row["cost_nanousd"])) == (tenant.tenant_id, 3, costs)
    assert acme.send("GET", "/usage?scope=org").status_code == 403


@pytest.fixture
def alerts(stack: Stack) -> Iterator[Queue]:
    """What people are told: a queue that listens to the topic."""
    sns, topic = stack.aws("sns"), stack.outputs["BudgetAlertsTopicArn"]
    queue = Queue(stack, "sns.amazonaws.com", topic)
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    yield queue
    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    queue.close()


def test_a_threshold_is_told_once(admin: Caller, tenant: Caller, alerts: Queue) -> None:
    set_limits(admin, f"tenants/{tenant.tenant_id}", limit("calls", "requests", "day", 4, thresholds=[50, 100]))

    def told() -> list[str]:
        texts = [message["Message"] for message in alerts.take()]
        return [text for text in texts if tenant.tenant_id in text]

    for calls, thresholds in ((1, 0), (2, 1), (3, 1), (4, 2)):
        assert tenant.post_chat(CHAT).status_code == 200
        until(lambda calls=calls: remaining(tenant, "calls")["used"] == calls, f"{calls} calls to be settled")
        until(lambda thresholds=thresholds: len(told()) >= thresholds, f"{thresholds} alerts")
        assert len(told()) == thresholds
    assert "50 %" in told()[0]
    assert "100 %" in told()[1]
