"""A tenant registers its own OIDC issuer over HTTP, and its people call with that issuer's tokens."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator

import pytest

import issuer as issuers
from issuer import Issuer
from simulator import messages
from stack import Caller
from tenants import Tenants

MODEL = "nova-lite"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer that nobody has registered."""
    with issuers.serve() as issuer:
        yield issuer


def test_an_issuer_speaks_for_the_tenant_that_registered_it(tenants: Tenants, issuer: Issuer) -> None:
    own, other = (tenants.tenant(tenants.lob(), [MODEL]) for _ in range(2))
    admin, viewer, stranger = tenants.person(own, "tenant_admin"), tenants.person(own, "viewer"), tenants.person(other, "tenant_admin")
    issuer_id = base64.urlsafe_b64encode(issuer.name.encode()).decode().rstrip("=")
    registration = {"jwks_url": issuer.jwks_url, "audiences": ["weir"], "role": "developer"}

    def put(by: Caller, tenant: Caller, body: dict[str, object] = registration, **condition: str) -> int:
        headers = {name.replace("_", "-"): value for name, value in condition.items()}
        return by.send("PUT", f"/tenants/{tenant.tenant_id}/issuers/{issuer_id}", json=body, headers=headers).status_code

    assert put(admin, own) == 428
    assert put(admin, own, {**registration, "role": "org_admin", "may_grant": ["org_admin"]}, if_none_match="*") == 403
    assert put(admin, own, {**registration, "jwks_url": "http://10.0.0.1/keys"}, if_none_match="*") == 400
    assert put(viewer, own, if_none_match="*") == 403
    assert put(stranger, own, if_none_match="*") == 404
    assert put(admin, own, if_none_match="*") == 201
    assert put(admin, own, if_match='"9"') == 412
    assert put(stranger, other, if_none_match="*") == 409, "one issuer, one owner"

    listed = admin.send("GET", f"/tenants/{own.tenant_id}/issuers").json()["data"]
    assert [(it["issuer_id"], it["issuer"], it["version"]) for it in listed] == [(issuer_id, issuer.name, 1)]
    assert stranger.send("GET", f"/tenants/{other.tenant_id}/issuers").json()["data"] == []
    assert admin.send("GET", "/issuers").status_code == 403

    caller = dataclasses.replace(own, token=issuer.token())
    completion = caller.openai.chat.completions.create(model=MODEL, messages=messages())
    assert completion.choices[0].message.content
    usage = caller.send("GET", "/usage/limits")
    assert usage.status_code == 200, usage.text

    gone = admin.send("DELETE", f"/tenants/{own.tenant_id}/issuers/{issuer_id}", headers={"if-match": '"1"'})
    assert gone.status_code == 200, gone.text
    assert admin.send("GET", f"/tenants/{own.tenant_id}/issuers").json()["data"] == []
