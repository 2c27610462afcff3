"""A tenant goes: nobody is let in, what it used is billed, what is not to be kept is deleted, and the evidence of it can be checked."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

from lives import Made, put, say_hello, succeeds
from stack import ROOT, Caller, Stack
from tasks import ask, begin, ended, wanted
from waiting import until

Json = dict[str, Any]
#: Seconds: what API Gateway remembers has to be forgotten, and a draft to be made.
OFFBOARDED_WITHIN = 400


def verify(stack: Stack, folder: Path, *options: str) -> tuple[int, str]:
    """What the documented command says."""
    command = [sys.executable, str(ROOT / "tools" / "verify_evidence.py"), str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603
    return done.returncode, done.stdout + done.stderr


def copied(stack: Stack, key: str, folder: Path) -> Path:
    """As ``aws s3 sync`` copies it."""
    s3, bucket = stack.aws("s3"), stack.outputs["StatementsBucketName"]
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key.rpartition("/")[0] + "/"):
        for found in page["Contents"]:
            name = found["Key"].rpartition("/")[2]
            (folder / name).write_bytes(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
    return folder


def machine_of(stack: Stack, admin: Caller, task: Json) -> Caller:
    """The program that a task made, with a token."""
    (client,) = admin.send("POST", f"/tasks/{task['task_id']}/credentials").json()["data"]
    return Caller(stack, task["tenant_id"], task["lob_id"], stack.client_credentials(client), client["client_id"])


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
    code, said = verify(stack, folder, "--live", "--endpoint-url", stack.aws_url)
    assert (code, "whole" in said) == (0, True), said
    print(said)

    # One thing that is put there afterwards is found, and so is one word that is changed.
    planted = {"PK": f"TENANT#{tenant}", "SK": "RESPONSE#planted"}
    stack.table("ContentTableName").put_item(Item=planted)
    code, said = verify(stack, folder, "--live", "--endpoint-url", stack.aws_url)
    stack.table("ContentTableName").delete_item(Key=planted)
    assert (code, f"left over in content_table: TENANT#{tenant} / RESPONSE#planted" in said) == (1, True), said
    (folder / "evidence.json").write_text(pack["evidence"].replace("deleted", "retained", 1))
    code, said = verify(stack, folder)
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
