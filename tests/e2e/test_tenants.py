"""A tenant's life over HTTP, from its first document to its last call; everything by routes that administrators have."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from lives import MODEL, Made, document, make_lob, make_machine, make_tenant, new, put, say_hello, succeeds
from stack import Caller, Stack
from waiting import until

Json = dict[str, Any]


def test_a_tenant_lives(stack: Stack, admin: Caller, made: Made) -> None:
    lob = make_lob(admin, made)
    tenant = new("tenant")
    made.tenants.append(tenant)
    path = f"/tenants/{tenant}"

    dry = put(admin, f"{path}?dry_run=true", document(lob))
    assert (dry.status_code, dry.json()["is_dry_run"]) == (200, True), dry.text
    assert admin.send("GET", path).status_code == 404, "a dry run makes nothing"
    created = put(admin, path, document(lob), if_none_match="*")
    assert created.status_code == 201, created.text
    assert created.json()["changes"] == dry.json()["changes"]
    again = put(admin, path, document(lob), if_match=created.headers["etag"])
    assert (again.json()["changes"], again.headers["etag"]) == ([], created.headers["etag"])

    # A program's first call.
    machine = make_machine(admin, tenant, lob)
    assert say_hello(machine).choices[0].message.content
    # A person's: an administrator of the tenant, who then sees what is the tenant's, and only that.
    address = f"{tenant}-admin@initech.example"
    made.people.append(address)
    answer = admin.send("PUT", f"{path}/users/{address}", json={"roles": ["tenant_admin", "developer"], "invite": False})
    assert answer.status_code == 201, answer.text
    password = f"Aa1!{secrets.token_hex(12)}"
    stack.aws("cognito-idp").admin_set_user_password(
        UserPoolId=stack.outputs["UserPoolId"], Username=address, Password=password, Permanent=True
    )
    own = Caller(stack, tenant, lob, stack.sign_in(address, password)["AccessToken"])
    assert say_hello(own).choices[0].message.content
    assert own.send("GET", path).json()["name"] == "Initech"
    assert own.send("GET", "/tenants/acme").status_code == 404
    assert [it["tenant_id"] for it in own.send("GET", "/tenants").json()["data"]] == [tenant]
    shown = own.send("GET", path)
    aliases = [{"name": "ours", "steps": [{"targets": [{"model": MODEL}]}]}]
    branded = {**shown.json(), "branding": {"color": "#336699"}, "aliases": aliases}
    assert put(own, path, branded, if_match=shown.headers["etag"]).status_code == 200
    by_alias = {"model": "ours", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 20}
    # A name that was not there a second ago may be missed once more.
    until(lambda: machine.post_chat(by_alias).headers.get("x-weir-model") == MODEL, "the alias to be known", timeout_s=10)
    refused = put(own, path, {**branded, "models": [MODEL, "nova-lite"]}, if_match="*")
    assert refused.status_code == 403, refused.text
    assert "`models`" in refused.json()["error"]["message"]

    # Suspended while it calls: the next call is refused; resumed, the next is served.
    suspended = admin.send("POST", f"{path}/suspend", json={"reason": "A test."})
    assert (suspended.status_code, suspended.json()["is_effective"]) == (200, True), suspended.text
    for caller in (machine, own):
        with pytest.raises(openai.PermissionDeniedError):
            say_hello(caller)
    resumed = admin.send("POST", f"{path}/resume", json={})
    assert resumed.status_code == 200, resumed.text
    until(lambda: succeeds(machine), "API Gateway to forget that the tenant was suspended", timeout_s=90)

    # Back to how it was made.
    version = int(admin.send("GET", path).headers["etag"].strip('"'))
    back = admin.send("POST", f"{path}/rollback", json={"version": 1}, headers={"if-match": f'"{version}"'})
    assert back.status_code == 200, back.text
    assert "branding" not in back.json() and "aliases" not in back.json()
    history = admin.send("GET", f"{path}/history?limit=100").json()["data"]
    actions = [entry["action"] for entry in history]
    assert actions[0] == "tenant.rolled_back"
    assert {"tenant.created", "tenant.suspended", "tenant.resumed", "client.created", "user.set"} <= set(actions)
    assert [entry["is_allowed"] for entry in history if entry["principal_id"] not in {history[0]["principal_id"]}].count(False) == 1

    # A client that is deleted gets in no more.
    gone = admin.send("DELETE", f"{path}/clients/{machine.client_id}")
    assert gone.status_code == 200, gone.text
    until(lambda: not succeeds(machine), "API Gateway to forget the client", timeout_s=90)


def test_a_suspension_stops_a_running_load(admin: Caller, made: Made) -> None:
    lob = make_lob(admin, made)
    tenant = make_tenant(admin, made, lob)
    machine = make_machine(admin, tenant, lob)
    assert succeeds(machine)
    is_over, outcomes = threading.Event(), []

    def call() -> None:
        while not is_over.is_set():
            outcomes.append(succeeds(machine))

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(call) for _ in range(4)]
        until(lambda: len(outcomes) >= 8, "some calls")
        assert all(outcomes)
        answer = admin.send("POST", f"/tenants/{tenant}/suspend", json={"reason": "A test."})
        assert answer.status_code == 200, answer.text
        after = len(outcomes) + 4  # those that were under way
        until(lambda: len(outcomes) >= after + 8, "some more calls")
        is_over.set()
        for one in running:
            one.result()
    assert not any(outcomes[after:])


def test_of_changes_at_once_one_is_made(admin: Caller, made: Made) -> None:
    lob = make_lob(admin, made)
    tenant = make_tenant(admin, made, lob)
    etag = admin.send("GET", f"/tenants/{tenant}").headers["etag"]

    def change(number: int) -> int:
        body = document(lob, tags={"number": str(number)})
        return put(admin, f"/tenants/{tenant}", body, if_match=etag).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = sorted(threads.map(change, range(8)))
    assert statuses == [200] + [412] * 7
    entries = admin.send("GET", f"/tenants/{tenant}/history").json()["data"]
    assert [entry["action"] for entry in entries] == ["tenant.changed", "tenant.created"]


def test_a_person_is_one_tenants(stack: Stack, admin: Caller, made: Made) -> None:
    lob = make_lob(admin, made)
    one, other = make_tenant(admin, made, lob), make_tenant(admin, made, lob)
    address = f"{one}@initech.example"
    made.people.append(address)
    body = {"roles": ["viewer"], "invite": False}
    assert admin.send("PUT", f"/tenants/{one}/users/{address}", json=body).status_code == 201
    taken = admin.send("PUT", f"/tenants/{other}/users/{address}", json=body)
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "member_elsewhere")
    assert one not in taken.text
    assert admin.send("DELETE", f"/tenants/{other}/users/{address}").status_code == 404
    listed = admin.send("GET", f"/tenants/{one}/users").json()["data"]
    assert [(person["email"], person["roles"]) for person in listed] == [(address, ["viewer"])]
    assert admin.send("DELETE", f"/tenants/{one}/users/{address}").status_code == 200
    assert admin.send("GET", f"/tenants/{one}/users").json()["data"] == []
    found = stack.aws("cognito-idp").admin_get_user(UserPoolId=stack.outputs["UserPoolId"], Username=address)
    assert found["Enabled"] is False
    # Nobody's any more, so anybody's to take in.
    assert admin.send("PUT", f"/tenants/{other}/users/{address}", json=body).status_code == 200


def test_an_aws_role_is_one_tenants(admin: Caller, made: Made) -> None:
    lob = make_lob(admin, made)
    one, other = make_tenant(admin, made, lob), make_tenant(admin, made, lob)
    role = f"/aws-roles/111122223333/{one}"
    assert admin.send("PUT", f"/tenants/{one}{role}", json={}).status_code == 201
    taken = admin.send("PUT", f"/tenants/{other}{role}", json={})
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "role_taken")
    assert admin.send("DELETE", f"/tenants/{other}{role}").status_code == 404
    assert admin.send("DELETE", f"/tenants/{one}{role}").status_code == 200
    assert admin.send("GET", f"/tenants/{one}/aws-roles").json()["data"] == []


def test_a_rotation_is_done_or_explained(admin: Caller, made: Made) -> None:
    lob = make_lob(admin, made)
    tenant = make_tenant(admin, made, lob)
    machine = make_machine(admin, tenant, lob)
    answer = admin.send("POST", f"/tenants/{tenant}/clients/{machine.client_id}/rotate", json={})
    if answer.status_code == 200:
        assert answer.json()["client_secret"]
    else:  # the local user pool
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "rotation_unsupported")
    assert succeeds(machine)


def test_what_makes_no_sense_is_named(admin: Caller, made: Made) -> None:
    lob = make_lob(admin, made)
    tenant = make_tenant(admin, made, lob)
    for body, param in [
        (document(lob, model_list=[]), "model_list"),
        (document(lob, models=["no-such-model"]), "models"),
        (document(lob, settings={"response_cache": {"ttl": 5}}), "settings.response_cache.ttl_s"),
        (document("no-such-lob"), "lob_id"),
        ("a: &a [x]\nb: [*a", None),
    ]:
        answer = put(admin, f"/tenants/{tenant}", body, if_match="*")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    assert put(admin, f"/tenants/{tenant}", document(lob)).status_code == 428
    assert put(admin, f"/tenants/{tenant}", document(lob), if_match='"99"').status_code == 412


def test_pages_are_whole(admin: Caller, made: Made) -> None:
    lob = make_lob(admin, made)
    tenants = sorted(make_tenant(admin, made, lob) for _ in range(5))

    def listed() -> list[str]:
        found, query = [], f"?lob={lob}&limit=2"
        while True:
            page = admin.send("GET", f"/tenants{query}").json()
            found += [tenant["tenant_id"] for tenant in page["data"]]
            if not page["next_cursor"]:
                return found
            query = f"?lob={lob}&limit=2&cursor={page['next_cursor']}"

    until(lambda: listed() == tenants, "the index to know them")
