"""Tasks, asked for and waited for, and what they leave."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2
from boto3.dynamodb.conditions import Key

from lives import MODEL, Made, beneath, groups_of, new
from stack import ROOT, Caller, Stack
from waiting import until

Json = dict[str, Any]
OVER = {"succeeded", "failed", "cancelled"}
#: Seconds in which a tenant is made.
ONBOARDED_WITHIN = 60
#: And in which one goes: what API Gateway remembers has to be forgotten, and a draft to be made.
OFFBOARDED_WITHIN = 400


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


def states(task: Json) -> dict[str, str]:
    """How far each step is."""
    return {step["name"]: step["state"] for step in task["steps"]}


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


def machine_of(stack: Stack, admin: Caller, task: Json) -> Caller:
    """The first program that a task made, with a token."""
    client = admin.send("POST", f"/tasks/{task['task_id']}/credentials").json()["data"][0]
    return Caller(stack, task["tenant_id"], task["lob_id"], stack.client_credentials(client), client["client_id"])


def pictured(body: Json) -> Json:
    """What `lives.picture` shows of a tenant that was made from this document."""
    return {
        "status": "active",
        "is_effective": True,
        **body["tenant"],
        "limits": body["limits"],
        "users": {person["email"]: sorted(person["roles"]) for person in body["users"]},
        "clients": sorted(client["name"] for client in body["clients"]),
        "aws_roles": sorted([role["account_id"], role["role_name"]] for role in body.get("aws_roles", [])),
    }


def nothing_is_left(stack: Stack, admin: Caller, body: Json) -> None:
    """Of a tenant that was not made there is who did what, and nothing else."""
    tenant = body["tenant_id"]
    assert admin.send("GET", f"/tenants/{tenant}").status_code == 404
    found = beneath(stack, tenant)
    assert found == {name: [] for name in found}
    tenancy = stack.table("TenancyTableName")
    for role in body.get("aws_roles", []):
        registered = tenancy.get_item(Key={"PK": f"AWSROLE#{role['account_id']}:{role['role_name']}", "SK": "META"}).get("Item")
        assert registered is None or registered["tenant_id"] != tenant
    assert [groups_of(stack, person["email"]) for person in body["users"]] == [[]] * len(body["users"])


@dataclass(frozen=True)
class Tasks:
    """Tasks as they are written and run, beneath the API."""

    stack: Stack

    @cached_property
    def _tenancy(self) -> Any:
        return self.stack.table("TenancyTableName")

    @cached_property
    def _states(self) -> Any:
        return self.stack.aws("stepfunctions")

    @cached_property
    def s3(self) -> Any:
        """Where off-boardings keep their papers."""
        return self.stack.aws("s3")

    def written(self, task_id: str) -> Json:
        """A task as it is written."""
        found = self._tenancy.query(KeyConditionExpression=Key("PK").eq(f"TASK#{task_id}"), ConsistentRead=True)
        (task,) = found["Items"]
        return task

    def of(self, tenant_id: str) -> str | None:
        """The task of a tenant that is not over."""
        lock = self._tenancy.get_item(Key={"PK": "TASKS", "SK": f"tenants/{tenant_id}"}, ConsistentRead=True)
        return lock.get("Item", {}).get("task_id")

    def runs(self, task_id: str) -> dict[str, str]:
        """The executions of a task: from which version of it, and what became of them."""
        pages = self._states.get_paginator("list_executions").paginate(stateMachineArn=self.stack.outputs["TasksStateMachineArn"])
        listed = [it for page in pages for it in page["executions"] if it["name"].startswith(f"{task_id}-")]
        return {it["name"].removeprefix(f"{task_id}-"): it["status"] for it in listed}

    def _execution(self, task_id: str, version: str) -> str:
        machine = self.stack.outputs["TasksStateMachineArn"]
        return f"{machine.replace(':stateMachine:', ':execution:')}:{task_id}-{version}"

    def called_at(self, task_id: str) -> str | None:
        """When the function was called that does a step of a task right now, as tasks write times."""
        history = self._states.get_execution_history(executionArn=self._execution(task_id, "0"), reverseOrder=True, maxResults=1)
        (last,) = history["events"]
        is_called = last["type"] in ("TaskScheduled", "TaskStarted")
        return last["timestamp"].astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f") if is_called else None

    def lose(self, task_id: str) -> None:
        """Ends the execution of a task, as if it had been lost."""
        self._states.stop_execution(executionArn=self._execution(task_id, "0"))

    def age(self, task_id: str, by: timedelta) -> bool:
        """Makes a task look as if nobody had been at it for so long; not if it is written at this moment.

        It is the next version, so whatever was sent before comes to nothing.
        """
        task = self.written(task_id)
        moment = (datetime.now(timezone.utc) - by).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            self._tenancy.update_item(
                Key={"PK": task["PK"], "SK": task["SK"]},
                UpdateExpression="SET heartbeat_at = :moment, version = :next",
                ConditionExpression="version = :version",
                ExpressionAttributeValues={":moment": moment, ":version": task["version"], ":next": task["version"] + 1},
            )
        except self._tenancy.meta.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    @staticmethod
    def folder(task: Json) -> str:
        """Where an off-boarding has its papers."""
        return f"exports/tenant={task['tenant_id']}/task={task['task_id']}/"

    def papers(self, task: Json) -> dict[str, str]:
        """What an off-boarding has written down: names, and what tells one content from another."""
        folder = self.folder(task)
        found = self.s3.list_objects_v2(Bucket=self.stack.outputs["StatementsBucketName"], Prefix=folder).get("Contents", [])
        return {it["Key"].removeprefix(folder): it["ETag"] for it in found}

    def traces(self, task: Json) -> list[Any]:
        """What a task has done so far that can be seen, to be compared with what it has done later."""
        partitions = (f"TENANT#{task['tenant_id']}", f"CALLERS#{task['tenant_id']}")
        queries = ({"KeyConditionExpression": Key("PK").eq(key), "ConsistentRead": True} for key in partitions)
        found = [self._tenancy.query(**query)["Items"] for query in queries]
        people = task["input"].get("users", []) if task["kind"] == "onboard" else []
        papers = self.papers(task) if task["kind"] == "offboard" else {}
        return [found, papers, [groups_of(self.stack, person["email"]) for person in people]]


def verify(folder: Path, *options: str) -> tuple[int, str]:
    """What the documented command says of evidence."""
    command = [sys.executable, str(ROOT / "tools" / "verify_evidence.py"), str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603
    return done.returncode, done.stdout + done.stderr


def copied(stack: Stack, key: str, folder: Path) -> Path:
    """Evidence as ``aws s3 sync`` copies it."""
    s3, bucket = stack.aws("s3"), stack.outputs["StatementsBucketName"]
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key.rpartition("/")[0] + "/"):
        for found in page["Contents"]:
            name = found["Key"].rpartition("/")[2]
            (folder / name).write_bytes(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
    return folder
