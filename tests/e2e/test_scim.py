"""SCIM over HTTP: by its own checker and client, and what comes of it in the user pool."""

from __future__ import annotations

import secrets
from typing import Any

import httpx2
import pytest
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

from stack import Caller, Stack
from tenants import Tenants

Json = dict[str, Any]
USER, GROUP = (f"urn:ietf:params:scim:schemas:core:2.0:{name}" for name in ("User", "Group"))
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def provisioner(tenants: Tenants) -> Caller:
    """The identity provider of a new tenant."""
    own = tenants.tenant(tenants.lob(), [])
    return tenants.machine(own.tenant_id, own.lob_id, "provisioner", ["weir/admin"])


def ask(who: Caller, method: str, path: str, body: Json | None = None) -> httpx2.Response:
    """A request of SCIM."""
    url = who.stack.base_url.removesuffix("/v1") + f"/scim/v2{path}"
    return who.stack.http.request(method, url, json=body, headers={"authorization": f"Bearer {who.token}"})


def user(who: Caller, name: str) -> str:
    """A new person; their id."""
    made = ask(who, "POST", "/Users", {"schemas": [USER], "userName": name})
    assert made.status_code == 201, made.text
    return made.json()["id"]


def person(stack: Stack, name: str) -> tuple[set[str], bool]:
    """The groups of the user pool that somebody is in, and whether they can sign in."""
    cognito, pool = stack.aws("cognito-idp"), stack.outputs["UserPoolId"]
    found = cognito.admin_get_user(UserPoolId=pool, Username=name)
    groups = cognito.admin_list_groups_for_user(UserPoolId=pool, Username=found["Username"])["Groups"]
    return {group["GroupName"] for group in groups}, found["Enabled"]


def test_the_checker_of_scim_finds_nothing(stack: Stack, tenants: Tenants) -> None:
    who = provisioner(tenants)
    url = stack.base_url.removesuffix("/v1") + "/scim/v2"
    with httpx2.Client(base_url=url, headers={"authorization": f"Bearer {who.token}"}, trust_env=False, timeout=60) as client:
        results = check_server(SyncSCIMClient(client))
    assert [f"{it.title} {it.resource_type}: {it.reason}" for it in results if it.status != Status.SUCCESS] == []
    assert len(results) > 50, "or nothing was checked"


def test_a_person_comes_by_a_group_and_goes_when_switched_off(stack: Stack, tenants: Tenants) -> None:
    who, name = provisioner(tenants), f"ann-{secrets.token_hex(4)}@example.com"
    ann = user(who, name)
    group = {"schemas": [GROUP], "displayName": "developer", "members": [{"value": ann}]}
    made = ask(who, "POST", "/Groups", group)
    assert made.status_code == 201, made.text
    tenants._people.append(name)
    tenants._groups.append(f"{who.tenant_id}:developer")
    assert person(stack, name) == ({f"{who.tenant_id}:developer"}, True)
    off = {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": False}]}
    answer = ask(who, "PATCH", f"/Users/{ann}", off)
    assert (answer.status_code, answer.json()["active"]) == (200, False), answer.text
    assert person(stack, name) == (set(), False)
    off["Operations"][0]["value"] = True
    assert ask(who, "PATCH", f"/Users/{ann}", off).status_code == 200
    assert person(stack, name) == ({f"{who.tenant_id}:developer"}, True)
    assert ask(who, "DELETE", f"/Users/{ann}").status_code == 204
    assert person(stack, name) == (set(), False)


def test_another_tenants_people_are_not_there(tenants: Tenants) -> None:
    who, other = provisioner(tenants), provisioner(tenants)
    ann = user(who, "ann")
    change = {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": False}]}
    whole = {"schemas": [USER], "userName": "ann"}
    for method, body in (("GET", None), ("PUT", whole), ("PATCH", change), ("DELETE", None)):
        answer = ask(other, method, f"/Users/{ann}", body)
        assert (answer.status_code, answer.json()["status"]) == (404, "404"), method
    assert ask(other, "GET", "/Users").json()["totalResults"] == 0
    taken = ask(other, "POST", "/Groups", {"schemas": [GROUP], "displayName": "x", "members": [{"value": ann}]})
    assert (taken.status_code, taken.json()["scimType"]) == (400, "invalidValue")
    assert ask(who, "GET", f"/Users/{ann}").json()["userName"] == "ann"


@pytest.mark.parametrize("role", ["developer", "viewer", "auditor"])
def test_other_roles_are_refused(tenants: Tenants, role: str) -> None:
    own = tenants.tenant(tenants.lob(), [])
    who = tenants.person(own, role)
    for method, path in (("GET", "/Users"), ("POST", "/Users"), ("GET", "/Groups/x"), ("DELETE", "/Users/x"), ("GET", "/Schemas")):
        body = {"schemas": [USER], "userName": "x"} if method == "POST" else None
        answer = ask(who, method, path, body)
        assert (answer.status_code, answer.headers["content-type"]) == (403, "application/scim+json"), f"{method} {path}"
