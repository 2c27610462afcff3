"""A tenant goes: nobody is let in, what it used is billed, what is not to be kept is deleted, and the evidence of it can be checked."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from lives import Made, put, say_hello, succeeds
from stack import Caller, Stack
from tasks import OFFBOARDED_WITHIN, ask, begin, copied, ended, machine_of, verify, wanted
from waiting import until

Json = dict[str, Any]


def test_a_tenant_goes_with_evidence(
    stack: Stack,
    admin: Caller,
    made: Made,
    lob: str,
    tmp_path: Path,
) -> None:
    body = wanted(made, lob)
    tenant = body["tenant_id"]
    beside = {**wanted(made, lob), "tenant_id": f"{tenant}-2"}
    made.tenants.append(beside["tenant_id"])
    tasks = [ended(admin, task_id) for task_id in [begin(admin, body), begin(admin, beside)]]
    own, other = [machine_of(stack, admin, task) for task in tasks]
    for machine in (own, other):
        assert say_hello(machine).choices[0].message.content
        stored = machine.openai.responses.create(model="nova-pro", input="Remember this.", max_output_tokens=20)
        assert stored.id

    task_id = begin(admin, {"kind": "offboard", "tenant_id": tenant})
    assert ask(admin, {"kind": "move", "tenant_id": tenant, "lob_id": "retail"}).json()["error"]["code"] == "tenant_busy"
    until(lambda: not succeeds(own), "its calls to be refused", timeout_s=30)
    task = ended(admin, task_id, OFFBOARDED_WITHIN)
    assert (task["state"], task["error"]) == ("succeeded", None), task

    assert admin.send("GET", f"/tenants/{tenant}").status_code == 404
    with pytest.raises((openai.AuthenticationError, openai.PermissionDeniedError)):
        say_hello(own)
    pack = admin.send("GET", f"/tasks/{task_id}/evidence").json()
    folder = copied(stack, task["output"]["evidence"], tmp_path)
    assert (folder / "evidence.json").read_text() == pack["evidence"]
    assert (folder / "evidence.sig").read_bytes() == base64.b64decode(pack["signature"])
    assert (folder / "evidence.pub.pem").read_text() == pack["public_key"]
    evidence = json.loads(pack["evidence"])
    kinds = {(it["kind"], it["action"]) for it in evidence["resources"]}
    assert {("tenant", "deleted"), ("parked_client", "deleted"), ("pool_client", "deleted"), ("response", "deleted"), ("task", "deleted")} <= kinds
    assert {("usage_record", "retained"), ("audit_entry", "retained"), ("tombstone", "retained")} <= kinds
    code, said = verify(folder, "--live", "--endpoint-url", stack.aws_url)
    assert (code, "whole" in said) == (0, True), said
    print(said)

    # One thing that is put there afterwards is found, and so is one word that is changed.
    planted = {"PK": f"TENANT#{tenant}", "SK": "RESPONSE#planted"}
    stack.table("ContentTableName").put_item(Item=planted)
    code, said = verify(folder, "--live", "--endpoint-url", stack.aws_url)
    stack.table("ContentTableName").delete_item(Key=planted)
    assert (code, f"left over in content_table: TENANT#{tenant} / RESPONSE#planted" in said) == (1, True), said
    (folder / "evidence.json").write_text(pack["evidence"].replace("deleted", "retained", 1))
    code, said = verify(folder)
    assert (code, "signature  WRONG" in said) == (1, True), said

    # Its id is nobody's any more, and who is called alike is untouched.
    again = put(admin, f"/tenants/{tenant}", {"name": "Again", "lob_id": lob}, if_none_match="*")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "id_retired")
    assert ask(admin, body).json()["error"]["code"] == "id_retired"
    assert ask(admin, {"kind": "offboard", "tenant_id": tenant}).status_code == 404
    assert succeeds(other)
    listed = admin.send("GET", f"/tasks?lob_id={lob}").json()["data"]
    assert [(it["kind"], it["tenant_id"]) for it in listed] == [("offboard", tenant), ("onboard", f"{tenant}-2")]


def test_what_is_called_off_is_given_back(
    stack: Stack,
    admin: Caller,
    made: Made,
    lob: str,
) -> None:
    body = wanted(made, lob)
    machine = machine_of(stack, admin, ended(admin, begin(admin, body)))
    assert succeeds(machine)
    task_id = begin(admin, {"kind": "offboard", "tenant_id": body["tenant_id"]})
    until(lambda: not succeeds(machine), "its calls to be refused", timeout_s=30)
    assert admin.send("POST", f"/tasks/{task_id}/cancel").status_code == 202
    task = ended(admin, task_id, 200)
    assert task["state"] == "cancelled", task
    shown = admin.send("GET", f"/tenants/{body['tenant_id']}").json()
    assert (shown["status"], shown["is_effective"]) == ("active", True)
    until(lambda: succeeds(machine), "API Gateway to forget that it was suspended", timeout_s=90)
    (person,) = admin.send("GET", f"/tenants/{body['tenant_id']}/users").json()["data"]
    assert set(person["roles"]) == {"developer", "tenant_admin"}
