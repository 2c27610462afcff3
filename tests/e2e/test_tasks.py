"""Tenants that are made, moved and taken back by tasks."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import yaml

from aws_callers import Role, token
from lives import Made, make_lob, make_tenant, new, say_hello, succeeds
from stack import Caller, Stack
from tasks import ask, begin, ended, nothing_is_left, states, wanted
from waiting import until

#: Tenants that are made at once.
MANY = 100


def test_a_tenant_is_made_from_one_document_and_calls_in_three_ways(
    stack: Stack,
    admin: Caller,
    made: Made,
    lob: str,
    make_role: Callable[..., Role],
) -> None:
    role = make_role()
    account = stack.outputs["TenantAccessRoleArn"].split(":")[4]
    body = wanted(made, lob, aws_roles=[{"account_id": account, "role_name": role.name, "role_id": role.role_id}])
    tenant, address = body["tenant_id"], body["users"][0]["email"]
    began = time.monotonic()
    text = yaml.safe_dump(body).encode()
    answer = admin.send("POST", "/tasks", content=text, headers={"content-type": "application/yaml"})
    assert answer.status_code == 202, answer.text
    task = ended(admin, answer.json()["task_id"])
    print(f"onboarded in {time.monotonic() - began:.1f} s")
    assert (task["state"], task["error"], set(states(task).values())) == ("succeeded", None, {"done"}), task
    assert task["progress"] == {"done": 7, "total": 7}
    assert address not in answer.text

    secrets_path = f"/tasks/{task['task_id']}/credentials"
    (client,) = admin.send("POST", secrets_path).json()["data"]
    again = admin.send("POST", secrets_path)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "credentials_told")
    machine = Caller(stack, tenant, lob, stack.client_credentials(client), client["client_id"])
    assert say_hello(machine).choices[0].message.content

    password = f"Aa1!{secrets.token_hex(12)}"
    stack.aws("cognito-idp").admin_set_user_password(
        UserPoolId=stack.outputs["UserPoolId"], Username=address, Password=password, Permanent=True
    )
    person = Caller(stack, tenant, lob, stack.sign_in(address, password)["AccessToken"])
    assert say_hello(person).choices[0].message.content
    assert say_hello(Caller(stack, tenant, lob, token(stack, role))).choices[0].message.content

    shown = admin.send("GET", f"/tenants/{tenant}").json()
    assert (shown["status"], shown["name"], shown["is_effective"]) == ("active", "Initech", True)
    limits = admin.send("GET", f"/limits/tenants/{tenant}").json()
    assert [it["id"] for it in limits["limits"]] == ["month"], limits
    listed = admin.send("GET", f"/tasks?lob_id={lob}&tenant_id={tenant}").json()["data"]
    assert [it["task_id"] for it in listed] == [task["task_id"]]
    # The tenant's own administrator sees how it was made; another tenant's does not.
    assert person.send("GET", f"/tasks/{task['task_id']}").status_code == 200
    assert stack.person("acme", "tenant_admin").send("GET", f"/tasks/{task['task_id']}").status_code == 404


def test_a_request_that_is_sent_again_makes_one_tenant(admin: Caller, made: Made, lob: str) -> None:
    body, key = wanted(made, lob), secrets.token_hex(16)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ask(admin, body, idempotency_key=key), range(8)))
    assert {answer.status_code for answer in answers} == {202}, [answer.text for answer in answers]
    (task_id,) = {answer.json()["task_id"] for answer in answers}
    assert ended(admin, task_id)["state"] == "succeeded"
    late = ask(admin, body, idempotency_key=key)
    assert (late.status_code, late.json()["task_id"], late.json()["state"]) == (202, task_id, "succeeded")
    reused = ask(admin, wanted(made, lob), idempotency_key=key)
    assert (reused.status_code, reused.json()["error"]["code"]) == (409, "idempotency_key_reused")
    taken = ask(admin, body)
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "id_taken")
    listed = admin.send("GET", f"/tenants/{body['tenant_id']}/clients").json()["data"]
    assert [client["name"] for client in listed] == ["Nightly"]


def test_what_cannot_be_made_leaves_nothing(
    stack: Stack,
    admin: Caller,
    made: Made,
    lob: str,
) -> None:
    other = make_tenant(admin, made, lob)
    role = {"account_id": "111122223333", "role_name": new("taken")}
    answer = admin.send("PUT", f"/tenants/{other}/aws-roles/{role['account_id']}/{role['role_name']}", json={})
    assert answer.status_code == 201, answer.text
    body = wanted(made, lob, aws_roles=[role])
    task = ended(admin, begin(admin, body))
    assert (task["state"], task["error"]["code"]) == ("failed", "role_taken"), task
    assert states(task)["tenant"] == "undone"
    nothing_is_left(stack, admin, body)
    kept = admin.send("GET", f"/tenants/{other}/aws-roles").json()["data"]
    assert [it["role_name"] for it in kept] == [role["role_name"]]


def test_a_task_is_called_off(stack: Stack, admin: Caller, made: Made, lob: str) -> None:
    # Twenty clients take a while.
    body = wanted(made, lob, clients=[{"name": f"client-{number}"} for number in range(20)])
    task_id = begin(admin, body)
    until(lambda: states(admin.send("GET", f"/tasks/{task_id}").json())["tenant"] == "done", "the first step")
    cancelled = admin.send("POST", f"/tasks/{task_id}/cancel")
    assert cancelled.status_code == 202, cancelled.text
    task = ended(admin, task_id, 120)
    assert (task["state"], task["cancel_requested"]) == ("cancelled", True), task
    nothing_is_left(stack, admin, body)
    late = admin.send("POST", f"/tasks/{task_id}/cancel")
    assert (late.status_code, late.json()["error"]["code"]) == (409, "task_over")


def test_a_tenant_moves_between_lines_of_business(
    stack: Stack,
    admin: Caller,
    made: Made,
    lob: str,
) -> None:
    to = make_lob(admin, made)
    body = wanted(made, lob)
    tenant = body["tenant_id"]
    task = ended(admin, begin(admin, body))
    (client,) = admin.send("POST", f"/tasks/{task['task_id']}/credentials").json()["data"]
    machine = Caller(stack, tenant, lob, stack.client_credentials(client), client["client_id"])
    assert succeeds(machine)
    moved = ended(admin, begin(admin, {"kind": "move", "tenant_id": tenant, "lob_id": to}))
    assert (moved["state"], moved["lob_id"]) == ("succeeded", to), moved
    assert admin.send("GET", f"/tenants/{tenant}").json()["lob_id"] == to
    until(lambda: succeeds(machine), "API Gateway to forget where the tenant was", timeout_s=90)
    listed = admin.send("GET", f"/tasks?lob_id={to}").json()["data"]
    assert [it["kind"] for it in listed] == ["move"]
    # Who runs a line of business is not moved into another.
    address = body["users"][0]["email"]
    answer = admin.send("PUT", f"/tenants/{tenant}/users/{address}", json={"roles": ["lob_admin"]})
    assert answer.status_code == 200, answer.text
    stays = ended(admin, begin(admin, {"kind": "move", "tenant_id": tenant, "lob_id": lob}))
    assert (stays["state"], stays["error"]["code"]) == ("failed", "lob_admins"), stays
    assert admin.send("GET", f"/tenants/{tenant}").json()["lob_id"] == to


def test_many_tenants_are_made_at_once(admin: Caller, made: Made, lob: str) -> None:
    bodies = [wanted(made, lob) for _ in range(MANY)]
    began = time.monotonic()
    with ThreadPoolExecutor(MANY) as threads:
        ids = list(threads.map(lambda body: begin(admin, body), bodies))
    tasks = [ended(admin, task_id, 300) for task_id in ids]
    print(f"{MANY} onboarded in {time.monotonic() - began:.1f} s")
    assert [task["state"] for task in tasks] == ["succeeded"] * MANY
    page = admin.send("GET", f"/tasks?lob_id={lob}&limit=100").json()
    assert {task["task_id"] for task in page["data"]} == set(ids)


def test_what_makes_no_sense_is_named(admin: Caller, made: Made, lob: str) -> None:
    body = wanted(made, lob)
    for change, param in [
        ({"kind": "explode"}, "kind"),
        ({"tenant_id": "No Such"}, "tenant_id"),
        ({"tenant": {**body["tenant"], "lob_id": "no-such-lob"}}, "tenant.lob_id"),
        ({"tenant": {**body["tenant"], "models": ["no-such-model"]}}, "tenant.models"),
        ({"users": [{"email": "x", "roles": ["viewer"]}]}, "users[0].email"),
        ({"people": []}, "people"),
    ]:
        answer = ask(admin, {**body, **change})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    for path in itertools.chain(["/tasks/x"], [f"/tasks/{secrets.token_hex(16)}"]):
        assert admin.send("GET", path).status_code == 404
