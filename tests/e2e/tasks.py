"""Tasks, asked for and waited for."""

from __future__ import annotations

from typing import Any

import httpx2

from lives import MODEL, Made, new
from stack import Caller
from waiting import until

Json = dict[str, Any]
OVER = {"succeeded", "failed", "cancelled"}
#: Seconds in which a tenant is made.
ONBOARDED_WITHIN = 60


def wanted(made: Made, lob: str, **more: Any) -> Json:
    """A whole tenant in one document."""
    tenant = new("tenant")
    made.tenants.append(tenant)
    address = f"{tenant}@initech.example"
    made.people.append(address)
    return {
        "kind": "onboard",
        "tenant_id": tenant,
        "tenant": {"name": "Initech", "lob_id": lob, "models": [MODEL]},
        "limits": [{"id": "month", "metric": "cost", "period": "month", "amount": 5_000_000_000}],
        "users": [{"email": address, "roles": ["developer", "tenant_admin"]}],
        "clients": [{"name": "Nightly"}],
        **more,
    }


def ask(admin: Caller, body: Json, **headers: str) -> httpx2.Response:
    """Asks for a task."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return admin.send("POST", "/tasks", json=body, headers=named)


def begin(admin: Caller, body: Json) -> str:
    """The id of a new task."""
    answer = ask(admin, body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"].endswith(answer.json()["task_id"])
    return str(answer.json()["task_id"])


def ended(admin: Caller, task_id: str, timeout_s: float = ONBOARDED_WITHIN) -> Json:
    """A task when it is over."""

    def look() -> Json | None:
        answer = admin.send("GET", f"/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        task: Json = answer.json()
        return task if task["state"] in OVER else None

    found = until(look, f"task {task_id} to end", timeout_s)
    assert found
    return found
