"""Tenants that a test makes over the API, as administrators do, and what they call."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx2
import openai
import yaml
from boto3.dynamodb.conditions import Key

from functions import Functions
from stack import Caller, Stack
from tenants import Tenants
from waiting import until

MODEL = "nova-pro"
Json = dict[str, Any]


@dataclass
class Made:
    """What a test made, to be forgotten after it."""

    stack: Stack
    lobs: list[str] = field(default_factory=list)
    tenants: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)

    def forget(self) -> None:
        """Removes it, beside the API: tenants are off-boarded by a task, not by a route of this function."""
        cognito, pool = self.stack.aws("cognito-idp"), self.stack.outputs["UserPoolId"]
        tenancy = self.stack.table("TenancyTableName")
        for tenant in self.tenants:
            listed = tenancy.query(KeyConditionExpression=Key("PK").eq(f"CALLERS#{tenant}"))["Items"]
            for client in (item["SK"].removeprefix("CLIENT#") for item in listed if item["SK"].startswith("CLIENT#")):
                cognito.delete_user_pool_client(UserPoolId=pool, ClientId=client)
                tenancy.delete_item(Key={"PK": f"CLIENT#{client}", "SK": "META"})
            for item in listed:
                if item["SK"].startswith("AWSROLE#"):
                    tenancy.delete_item(Key={"PK": item["SK"], "SK": "META"})
            Tenants._empty(f"CALLERS#{tenant}", tenancy)
        for person in self.people:
            try:
                cognito.admin_delete_user(UserPoolId=pool, Username=person)
            except cognito.exceptions.UserNotFoundException:
                pass
        forgotten = Tenants(self.stack)
        forgotten._scopes = [f"TENANT#{tenant}" for tenant in self.tenants] + [f"LOB#{lob}" for lob in self.lobs]
        forgotten.forget()


def new(kind: str) -> str:
    """An id that nobody has."""
    return f"{kind}-{secrets.token_hex(4)}"


def document(lob: str, **more: Any) -> str:
    """A tenant as YAML."""
    return yaml.safe_dump(
        {"name": "Initech", "lob_id": lob, "models": [MODEL], "contact": {"email": "ops@initech.example"}, **more}
    )


def put(caller: Caller, path: str, body: str | Json, **headers: str) -> httpx2.Response:
    """Sets a document: YAML if it is text."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, str):
        named["content-type"] = "application/yaml"
        return caller.send("PUT", path, content=body.encode(), headers=named)
    return caller.send("PUT", path, json=body, headers=named)


def make_lob(admin: Caller, made: Made) -> str:
    """A new line of business."""
    lob = new("lob")
    made.lobs.append(lob)
    answer = put(admin, f"/lobs/{lob}", {"name": "Made for a test"}, if_none_match="*")
    assert answer.status_code == 201, answer.text
    return lob


def make_tenant(admin: Caller, made: Made, lob: str, **more: Any) -> str:
    """A new tenant."""
    tenant = new("tenant")
    made.tenants.append(tenant)
    answer = put(admin, f"/tenants/{tenant}", document(lob, **more), if_none_match="*")
    assert answer.status_code == 201, answer.text
    assert answer.json()["is_effective"]
    return tenant


def make_machine(admin: Caller, tenant: str, lob: str) -> Caller:
    """A new machine client of a tenant, with a token."""
    answer = admin.send("POST", f"/tenants/{tenant}/clients", json={"name": "e2e"})
    assert answer.status_code == 201, answer.text
    client = answer.json()
    return Caller(admin.stack, tenant, lob, admin.stack.client_credentials(client), client["client_id"])


def say_hello(caller: Caller) -> Any:
    """A call with the official SDK as it is."""
    return caller.openai.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Hello."}], max_tokens=20
    )


def succeeds(caller: Caller) -> bool:
    """Whether a call is served."""
    try:
        say_hello(caller)
    except openai.APIStatusError as error:
        assert error.status_code in (401, 403), error
        return False
    return True


def groups_of(stack: Stack, username: str) -> list[str]:
    """What somebody is, by the groups that they are in; nothing if there is nobody of that name."""
    cognito = stack.aws("cognito-idp")
    try:
        found = cognito.admin_list_groups_for_user(UserPoolId=stack.outputs["UserPoolId"], Username=username)["Groups"]
    except cognito.exceptions.UserNotFoundException:
        return []
    return sorted(group["GroupName"] for group in found)


def beneath(stack: Stack, tenant_id: str) -> dict[str, list[str]]:
    """What there is of a tenant beneath the API, by kind; beside who did what to it."""
    tenancy, ledger = stack.table("TenancyTableName"), stack.table("LedgerTableName")

    def keys(table: Any, partition: str) -> list[str]:
        found, query = [], {"KeyConditionExpression": Key("PK").eq(partition), "ConsistentRead": True}
        while True:
            page = table.query(**query)
            found += [item["SK"] for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                return found
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def of_tenant(names: list[str]) -> list[str]:
        return [name for name in names if f"{name}/".startswith(f"tenants/{tenant_id}/")]

    changes = tenancy.get_item(Key={"PK": "ORG", "SK": "CHANGES"}, ConsistentRead=True).get("Item", {})
    clients = stack.aws("cognito-idp").get_paginator("list_user_pool_clients")
    pages = clients.paginate(UserPoolId=stack.outputs["UserPoolId"], MaxResults=60)
    pool = [(it["ClientName"], it["ClientId"]) for page in pages for it in page["UserPoolClients"]]
    return {
        "items": [name for name in keys(tenancy, f"TENANT#{tenant_id}") if not name.startswith("AUDIT#")],
        "callers": keys(tenancy, f"CALLERS#{tenant_id}"),
        "meters": keys(ledger, f"TENANT#{tenant_id}"),
        "notes": of_tenant(keys(tenancy, "UNFINISHED")),
        "locks": of_tenant(keys(tenancy, "TASKS")),
        "changes": of_tenant(list(changes)),
        "pool_clients": [client_id for name, client_id in pool if name.startswith(f"{tenant_id}.")],
    }


def finish_notes(stack: Stack, functions: Functions, tenant_id: str) -> None:
    """Has the schedule finish what is noted of a tenant and not finished, as it does when whoever began that is long gone."""
    tenancy = stack.table("TenancyTableName")
    long_ago = (datetime.now(timezone.utc) - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    if not (notes := beneath(stack, tenant_id)["notes"]):
        return
    for note in notes:
        key = {"PK": "UNFINISHED", "SK": note}
        tenancy.update_item(Key=key, UpdateExpression="SET since = :since", ExpressionAttributeValues={":since": long_ago})
    functions.run_schedule("TenantsFunctionName")


def picture(stack: Stack, admin: Caller, tenant_id: str) -> Json:
    """All that a tenant is and has, but versions, times and ids. Fails if any of it is half-made."""

    def get(path: str) -> Any:
        answer = admin.send("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    shown = get(f"/tenants/{tenant_id}")
    limits = get(f"/limits/tenants/{tenant_id}")["limits"]
    clients, roles, users = (get(f"/tenants/{tenant_id}/{kind}")["data"] for kind in ("clients", "aws-roles", "users"))
    found = beneath(stack, tenant_id)
    assert (found["notes"], found["locks"], found["changes"]) == ([], [], []), found
    tenancy, ledger = stack.table("TenancyTableName"), stack.table("LedgerTableName")

    def item(table: Any, partition: str, name: str = "META") -> Json:
        return table.get_item(Key={"PK": partition, "SK": name}, ConsistentRead=True).get("Item", {})

    # Its meter knows what it is, and what it may.
    meta, meter = item(tenancy, f"TENANT#{tenant_id}"), item(ledger, f"TENANT#{tenant_id}", "METER")
    known = ("status", "entitlement_version")
    assert [meter.get(name) for name in known] == [meta[name] for name in known], (meter, meta)
    # Each program is known in every place, and there is no other one.
    ids = sorted(client["client_id"] for client in clients)
    assert sorted(found["pool_clients"]) == ids
    assert [item(tenancy, f"CLIENT#{client_id}").get("tenant_id") for client_id in ids] == [tenant_id] * len(ids)
    assert [item(tenancy, f"CLIENT#{client_id}", "PARKED") for client_id in ids] == [{}] * len(ids)
    known_roles = [f"AWSROLE#{role['account_id']}:{role['role_name']}" for role in roles]
    assert [item(tenancy, role).get("tenant_id") for role in known_roles] == [tenant_id] * len(roles)
    assert sorted(found["callers"]) == sorted([*(f"CLIENT#{client_id}" for client_id in ids), *known_roles])

    def listed() -> list[str]:
        return [it["tenant_id"] for it in get(f"/tenants?lob={shown['lob_id']}&limit=100")["data"]]

    until(lambda: tenant_id in listed(), "its line of business to list it")
    return {
        **{name: shown[name] for name in ("status", "is_effective", "name", "lob_id", "models")},
        "limits": [{name: limit[name] for name in ("id", "metric", "period", "amount")} for limit in limits],
        "users": {user["email"]: sorted(user["roles"]) for user in users},
        "clients": sorted(client["name"] for client in clients),
        "aws_roles": sorted([role["account_id"], role["role_name"]] for role in roles),
    }
