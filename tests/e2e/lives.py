"""Tenants that a test makes over the API, as administrators do, and what they call."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai
import yaml
from boto3.dynamodb.conditions import Key

from stack import Caller, Stack
from tenants import Tenants

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
