"""Every operation of the API's document, as every role and towards another tenant: refused, and nothing changed.

``docs/roles.md`` has the table of roles and permissions, the document says which permission an operation needs. A new
operation that is not covered here fails; ``UNCOVERED`` may only shrink.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from stack import ROOT, Caller, Stack
from tenants import Tenants
from test_routes import DOCUMENT, METHODS, OF_EACH, SCIM, Sample, World

#: Operations for which isolation is not shown yet.
UNCOVERED: set[tuple[str, str]] = set()
MODEL = "nova-pro"
#: An error may say that something is not there, not permitted, or in the way; but not that nobody is signed in.
REFUSED = {403, 404}


def permissions() -> dict[str, set[str]]:
    """The roles that each permission is granted to, as the document of roles has it."""
    rows = re.findall(r"^\| (.*) \|$", (ROOT / "docs/roles.md").read_text(encoding="utf-8"), re.MULTILINE)
    header, *table = [[cell.strip() for cell in row.split("|")] for row in rows]
    roles = header[2:]
    return {
        name.strip("`"): {role for role, cell in zip(roles, cells, strict=True) if cell == "yes"}
        for name, _, *cells in table
    }


PERMISSIONS = permissions()
ROLES = sorted(set().union(*PERMISSIONS.values()))
#: Operations about the whole organisation: a role that has the permission in its own tenant has it not there.
OF_THE_ORGANISATION = {
    (method.upper(), path)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method in METHODS and operation.get("x-weir-reach") == "org"
}
NEEDED: dict[tuple[str, str], str] = {
    (method.upper(), path): operation["x-weir-permission"]
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}


def may(role: str, operation: tuple[str, str]) -> bool:
    """Whether an operation is for a role, in its own tenant or for the organisation."""
    reaches = operation not in OF_THE_ORGANISATION or role in {"org_admin", "org_auditor"}
    return reaches and role in PERMISSIONS[NEEDED[operation]]


@dataclass
class People:
    """Two tenants of two lines of business, and somebody in every role in the first."""

    world: World
    own: Caller
    other: Caller
    by_role: dict[str, Caller]

    def own_url(self, sample: Sample) -> str:
        """Where a sample goes if it is about the caller's own tenant: nobody is refused for naming what is not there."""
        own = f"tenants/{self.own.tenant_id}"
        url = self.world.url(sample).replace("tenants/no-such-tenant", own).replace("lobs/no-such-lob", f"lobs/{self.own.lob_id}")
        # What is posted to the scope alone is no request.
        return url.replace("/limits/org", f"/limits/{own}" + ("/raises" if sample.method == "POST" else ""))

    def ask(self, role: str, sample: Sample, path: str | None = None) -> httpx2.Response:
        """The answer to a sample, or to another path of the same operation."""
        caller, body = self.by_role[role], sample.body(sample.model or MODEL, "Hello.") if sample.body else {}
        url = self.own_url(sample) if path is None else self.world.stack.base_url + path
        content = {"json": body} if sample.method in {"POST", "PUT", "PATCH"} else {}
        headers = {"authorization": f"Bearer {caller.token}", "if-match": "*"}
        return self.world.stack.http.request(sample.method, url, headers=headers, **content)


@pytest.fixture(scope="module")
def people(stack: Stack, tenants: Tenants) -> People:
    """All of them."""
    own, other = (tenants.tenant(tenants.lob(), [MODEL]) for _ in range(2))
    programs = {"machine": own, "provisioner": tenants.machine(own.tenant_id, own.lob_id, "provisioner", ["weir/admin"])}
    by_role = {role: programs.get(role) or tenants.person(own, role) for role in ROLES}
    return People(World(stack, tenants), own, other, by_role)


@pytest.fixture(scope="module")
def state(stack: Stack) -> Iterator[Any]:
    """What is configured: tables and user pool, as one digest. What was tried may be on record."""

    def digest() -> dict[str, str]:
        found = {}
        for name in ("TenancyTableName",):
            items = []
            pages = stack.aws("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs[name])
            for page in pages:
                items += [it for it in page["Items"] if not is_record(it["PK"]["S"], it["SK"]["S"])]
            text = json.dumps(sorted(items, key=lambda it: (it["PK"]["S"], it["SK"]["S"])), sort_keys=True, default=str)
            found[name] = hashlib.sha256(text.encode()).hexdigest()
        cognito, pool = stack.aws("cognito-idp"), stack.outputs["UserPoolId"]
        users = cognito.get_paginator("list_users").paginate(UserPoolId=pool)
        found["users"] = repr(sorted(user["Username"] for page in users for user in page["Users"]))
        groups = cognito.get_paginator("list_groups").paginate(UserPoolId=pool)
        found["groups"] = repr(sorted(group["GroupName"] for page in groups for group in page["Groups"]))
        return found

    yield digest


def is_record(pk: str, sk: str) -> bool:
    """Whether an item says what was tried, and not what is."""
    return sk.startswith("AUDIT#") or pk.startswith("AUDIT#") or "#AUDIT" in pk


def test_every_operation_names_its_permission() -> None:
    assert {sample.operation for sample in OF_EACH + SCIM} == set(NEEDED)
    assert set(NEEDED.values()) <= set(PERMISSIONS)


@pytest.mark.parametrize("role", ROLES)
def test_a_wrong_role_is_refused_everywhere(people: People, state: Any, role: str) -> None:
    before = state()
    wrong: dict[str, int] = {}
    for sample in OF_EACH + SCIM:
        if sample.operation in UNCOVERED or may(role, sample.operation):
            continue
        answer = people.ask(role, sample)
        if answer.status_code not in REFUSED:
            wrong[str(sample)] = answer.status_code
    assert wrong == {}
    assert state() == before, "who is refused changes nothing"


@pytest.mark.parametrize("role", ROLES)
def test_a_right_role_is_let_through(people: People, role: str) -> None:
    """Or the test above would pass where nobody may do anything."""
    wrong: dict[str, str] = {}
    for sample in OF_EACH + SCIM:
        if sample.method != "GET" or not may(role, sample.operation):
            continue
        answer = people.ask(role, sample)
        if answer.status_code in {401, 403} or answer.status_code >= 500:
            wrong[str(sample)] = f"{answer.status_code} {answer.text[:200]}"
    assert wrong == {}


def named(tenant_id: str, lob_id: str, client_id: str) -> dict[tuple[str, str], list[str]]:
    """For each operation that can name somebody's tenant, how it does."""
    account, lob = f"account=tenant={tenant_id}", f"account=lob={lob_id}"
    limits = [
        f"/limits/{scope}"
        for scope in (
            f"tenants/{tenant_id}",
            f"tenants/{tenant_id}/projects/web",
            f"tenants/{tenant_id}/principals/{client_id}",
            f"tenants/{tenant_id}/each-principal",
            f"lobs/{lob_id}",
        )
    ]
    tenant, admin = f"/tenants/{tenant_id}", ("users", "clients", "aws-roles", "issuers", "model-requests")
    administration = {
        ("GET", "/v1/tenants/{tenant_id}"): [tenant],
        ("PUT", "/v1/tenants/{tenant_id}"): [tenant, f"{tenant}?dry_run=true"],
        ("GET", "/v1/tenants/{tenant_id}/history"): [f"{tenant}/history"],
        **{("POST", f"/v1/tenants/{{tenant_id}}/{it}"): [f"{tenant}/{it}"] for it in ("rollback", "suspend", "resume")},
        **{("GET", f"/v1/tenants/{{tenant_id}}/{it}"): [f"{tenant}/{it}"] for it in admin},
        **{(method, "/v1/tenants/{tenant_id}/users/{username}"): [f"{tenant}/users/a%40b.example"] for method in ("PUT", "DELETE")},
        ("POST", "/v1/tenants/{tenant_id}/clients"): [f"{tenant}/clients"],
        ("POST", "/v1/tenants/{tenant_id}/model-requests"): [f"{tenant}/model-requests"],
        **{
            ("POST", f"/v1/tenants/{{tenant_id}}/model-requests/{{request_id}}/{it}"): [f"{tenant}/model-requests/r1/{it}"]
            for it in ("approve", "reject")
        },
        ("DELETE", "/v1/tenants/{tenant_id}/clients/{client_id}"): [f"{tenant}/clients/{client_id}"],
        ("POST", "/v1/tenants/{tenant_id}/clients/{client_id}/rotate"): [f"{tenant}/clients/{client_id}/rotate"],
        **{
            (method, "/v1/tenants/{tenant_id}/aws-roles/{account_id}/{role_name}"): [f"{tenant}/aws-roles/111122223333/app"]
            for method in ("PUT", "DELETE")
        },
        **{(method, "/v1/tenants/{tenant_id}/issuers/{issuer_id}"): [f"{tenant}/issuers/aHR0cHM6Ly94"] for method in ("GET", "PUT", "DELETE")},
        ("GET", "/v1/tasks"): [f"/tasks?lob_id={lob_id}", f"/tasks?lob_id={lob_id}&tenant_id={tenant_id}"],
        **{(method, "/v1/lobs/{lob_id}"): [f"/lobs/{lob_id}"] for method in ("GET", "PUT")},
        ("GET", "/v1/audit"): [f"/audit?chain=tenant={tenant_id}", f"/audit?chain=lob={lob_id}"],
        ("GET", "/v1/audit/verify"): [f"/audit/verify?chain=tenant={tenant_id}", f"/audit/verify?chain=lob={lob_id}"],
    }
    return {
        **administration,
        ("GET", "/v1/limits/{scope+}"): [*limits, *(f"{it}/history" for it in limits), *(f"{it}/raises" for it in limits)],
        ("PUT", "/v1/limits/{scope+}"): limits,
        ("POST", "/v1/limits/{scope+}"): [f"{it}/raises" for it in limits],
        ("GET", "/v1/statements"): [f"/statements?{account}", f"/statements?{lob}"],
        ("GET", "/v1/statements/{period}"): [
            f"/statements/2026-01?{who}{more}" for who in (account, lob) for more in ("", "&draft=true", "&format=pdf")
        ],
        ("POST", "/v1/statements/{period}/draft"): [f"/statements/2026-01/draft?{who}" for who in (account, lob)],
        ("GET", "/v1/billing/entries"): [f"/billing/entries?{account}", f"/billing/entries?{lob}"],
        ("GET", "/v1/billing/plans"): [f"/billing/plans?{account}", f"/billing/plans?{lob}"],
        ("PUT", "/v1/billing/plans"): [f"/billing/plans?{account}", f"/billing/plans?{lob}"],
        ("GET", "/v1/audit"): [f"/audit?chain=tenant={tenant_id}", f"/audit?chain=lob={lob_id}"],
        ("GET", "/v1/audit/verify"): [f"/audit/verify?chain=tenant={tenant_id}", f"/audit/verify?chain=lob={lob_id}"],
    }


#: Operations that name nobody, or something by an id that says nothing of its owner: `test_routes.py` and
#: `test_scim.py` ask for those of others.
NAMELESS = {
    sample.operation
    for sample in OF_EACH + SCIM
    if sample in SCIM
    or sample.model
    or sample.touches
    or sample.operation
    in {
        ("GET", "/v1/models"),
        ("GET", "/v1/models/{id}"),
        ("POST", "/v1/files"),
        ("GET", "/v1/usage/limits"),
        ("GET", "/v1/usage/records/{call_id}"),
        ("GET", "/v1/usage"),
        ("GET", "/v1/issuers"),
        *((method, "/v1/issuers/{issuer_id}") for method in ("GET", "PUT", "DELETE")),
        ("GET", "/v1/lobs"),
        ("GET", "/v1/tenants"),
        ("GET", "/v1/registry/models"),
        *((method, "/v1/registry/models/{model_id}") for method in ("GET", "PUT")),
        ("GET", "/v1/registry/models/{model_id}/history"),
        *(("POST", f"/v1/registry/models/{{model_id}}/{it}") for it in ("rollback", "stage")),
        ("POST", "/v1/registry/import"),
        ("GET", "/v1/registry/aliases"),
        *((method, "/v1/registry/aliases/{alias}") for method in ("GET", "PUT", "DELETE")),
        ("GET", "/v1/registry/aliases/{alias}/history"),
        *(("POST", f"/v1/registry/aliases/{{alias}}/{it}") for it in ("rollback", "deploy")),
        ("POST", "/v1/tasks"),
        ("GET", "/v1/tasks/{task_id}"),
        ("GET", "/v1/tasks/{task_id}/evidence"),
        *(("POST", f"/v1/tasks/{{task_id}}/{it}") for it in ("cancel", "credentials")),
        ("GET", "/v1/months"),
        ("GET", "/v1/months/{period}"),
        ("POST", "/v1/months/{period}/close"),
        ("POST", "/v1/billing/entries"),
        ("GET", "/v1/reconciliations"),
        ("GET", "/v1/reconciliations/{period}"),
        ("POST", "/v1/reconciliations/{period}"),
        ("GET", "/v1/prices"),
        ("GET", "/v1/prices/overrides"),
        ("PUT", "/v1/prices/overrides/{version}"),
        ("DELETE", "/v1/prices/overrides/{version}"),
    }
}


def test_every_operation_that_can_name_a_tenant_is_tried() -> None:
    assert set(named("t", "l", "c")) | NAMELESS | UNCOVERED == set(NEEDED)
    assert not set(named("t", "l", "c")) & NAMELESS


@pytest.mark.parametrize("role", [role for role in ROLES if not role.startswith("org_")])
def test_another_tenant_is_not_there(people: People, state: Any, role: str) -> None:
    before = state()
    other = people.other
    ways = named(other.tenant_id, other.lob_id, other.client_id)
    absent = named("no-such-tenant", "no-such-lob", "no-such-client")
    wrong: dict[str, str] = {}
    for sample in OF_EACH:
        for path, nowhere in zip(ways.get(sample.operation, []), absent.get(sample.operation, []), strict=True):
            found, missing = people.ask(role, sample, path), people.ask(role, sample, nowhere)
            if found.status_code not in REFUSED:
                wrong[f"{sample.method} {path}"] = f"{found.status_code} {found.text[:200]}"
            said = found.json()["error"]["message"]
            for theirs, none in (
                (other.tenant_id, "no-such-tenant"),
                (other.lob_id, "no-such-lob"),
                (other.client_id, "no-such-client"),
            ):
                said = said.replace(theirs, none)
            if (found.status_code, said) != (missing.status_code, missing.json()["error"]["message"]):
                wrong[f"{sample.method} {path}"] = f"{said!r} is not {missing.text[:200]}"
    assert wrong == {}
    assert state() == before, "who is refused changes nothing"
