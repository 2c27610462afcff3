"""The audit trail: what administrators do over HTTP is in a chain within seconds, locked, and checked from outside."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stack import ROOT, Caller, Stack
from tenants import Tenants
from test_lake import Lake
from waiting import until

Record = dict[str, Any]
QUERIES = {
    path.stem: text
    for path in (ROOT / "infra/queries").glob("*.sql")
    if "FROM audit\n" in (text := path.read_text(encoding="utf-8"))
}


class Trail:
    """The audit trail, as auditors and its bucket show it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.bucket = stack.outputs["AuditBucketName"]
        self.s3 = stack.aws("s3")

    def task(self, name: str) -> Record:
        """What ``audit`` answers to a task of its schedules."""
        function = self.stack.outputs["AuditFunctionName"]
        answer = self.stack.aws("lambda").invoke(FunctionName=function, Payload=json.dumps({"task": name}))
        payload = json.load(answer["Payload"])
        assert "FunctionError" not in answer, payload
        return payload

    def verify(self, source: str, *more: str) -> subprocess.CompletedProcess[str]:
        """What the tool says of the bucket or of a copy."""
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": self.stack.region,
            "NO_PROXY": "127.0.0.1,localhost",
        }
        command = [sys.executable, str(ROOT / "tools/verify_audit.py"), source, "--endpoint-url", self.stack.aws_url, *more]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def copy(self, folder: Path) -> Path:
        """A copy of the bucket."""
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for found in page.get("Contents", []):
                file = folder / found["Key"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self.s3.get_object(Bucket=self.bucket, Key=found["Key"])["Body"].read())
        return folder


@pytest.fixture(scope="module")
def trail(stack: Stack) -> Trail:
    """The trail."""
    return Trail(stack)


@pytest.fixture(scope="module")
def admin(stack: Stack) -> Caller:
    """Somebody who runs the organisation."""
    return stack.person("globex", "org_admin")


@pytest.fixture(scope="module")
def tenant(tenants_of_module: Tenants) -> Caller:
    """A machine of a tenant of its own."""
    return tenants_of_module.tenant(tenants_of_module.lob(), ["nova-pro"])


@pytest.fixture(scope="module")
def tenants_of_module(stack: Stack) -> Any:
    """Makes tenants for this file."""
    tenants = Tenants(stack)
    yield tenants
    tenants.forget()


def records(caller: Caller, **query: str) -> list[Record]:
    """The records that a caller sees."""
    answer = caller.send("GET", "/audit", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def set_limit(caller: Caller, tenant: Caller, amount: int) -> int:
    """Tries to set a tenant's limit; the status."""
    body = {"limits": [{"id": "audited", "metric": "cost", "period": "month", "amount": amount}]}
    return caller.send("PUT", f"/limits/tenants/{tenant.tenant_id}", json=body, headers={"if-match": "*"}).status_code


@pytest.fixture(scope="module")
def noted(admin: Caller, tenant: Caller, tenants_of_module: Tenants) -> list[Record]:
    """The records of a change of a tenant's limit and of a refused attempt, the latest first."""
    viewer = tenants_of_module.person(tenant, "viewer")
    # More than RFC 8785 could write.
    assert set_limit(admin, tenant, 2**53 + 1) == 200
    assert set_limit(viewer, tenant, 7) == 403
    chain = f"tenant={tenant.tenant_id}"

    def both() -> list[Record]:
        found = records(admin, chain=chain)
        return found if len(found) >= 2 else []

    return until(both, "both to be in the chain", timeout_s=15)


def test_what_was_done_and_what_was_refused_is_in_the_tenants_chain(noted: list[Record], tenant: Caller) -> None:
    denied, allowed = noted
    assert (allowed["action"], allowed["decision"], allowed["tenant_id"]) == ("limits.set", "allow", "globex")
    assert {record["principal_kind"] for record in noted} == {"user"}
    assert allowed["subject"] == f"tenants/{tenant.tenant_id}"
    assert (allowed["before"], allowed["after"][0]["amount"]) == ([], 2**53 + 1)
    assert (denied["decision"], denied["tenant_id"], denied["roles"]) == ("deny", tenant.tenant_id, ["viewer"])
    assert [record["sequence"] for record in noted] == [2, 1]
    assert denied["previous_hash"] == allowed["hash"]


def test_filters_narrow(noted: list[Record], admin: Caller, tenant: Caller) -> None:
    chain = f"tenant={tenant.tenant_id}"
    assert records(admin, chain=chain, decision="deny") == noted[:1]
    assert records(admin, chain=chain, actor=noted[1]["principal_id"]) == noted[1:]
    assert records(admin, chain=chain, action="prices.") == []
    assert records(admin, chain=chain, to=noted[1]["time"]) == []


def test_a_chain_is_seen_by_who_may_see_it(
    noted: list[Record], tenant: Caller, tenants_of_module: Tenants, stack: Stack, acme: Caller
) -> None:
    for role in ("tenant_admin", "auditor"):
        assert records(tenants_of_module.person(tenant, role)) == noted
    chain = f"tenant={tenant.tenant_id}"
    assert acme.send("GET", "/audit").status_code == 403, "developers see no audit trail"
    for path in ("/audit", "/audit/verify"):
        for role in ("tenant_admin", "lob_admin"):
            refused = stack.person("acme", role).send("GET", path, params={"chain": chain})
            assert refused.status_code == 404, "another tenant's"


def test_the_api_says_that_the_chain_is_whole(noted: list[Record], admin: Caller, tenant: Caller) -> None:
    found = admin.send("GET", "/audit/verify", params={"chain": f"tenant={tenant.tenant_id}"}).json()
    assert (found["is_intact"], found["first_sequence"], found["last_sequence"]) == (True, 1, 2)
    assert found["head"] == {"sequence": 2, "hash": noted[0]["hash"]}


def test_the_tool_passes_the_bucket_and_finds_one_changed_byte(noted: list[Record], trail: Trail, tenant: Caller, tmp_path: Path) -> None:
    trail.task("checkpoint")
    chain, head = f"tenant={tenant.tenant_id}", f"2:{noted[0]['hash']}"
    whole = trail.verify(f"s3://{trail.bucket}")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert re.search(rf"^whole  {chain}  2 records  head {head}$", whole.stdout, re.MULTILINE)
    copy = trail.copy(tmp_path / "copy")
    assert trail.verify(str(copy)).returncode == 0
    assert trail.verify(str(copy), "--chain", chain, "--head", head).returncode == 0

    file = next(copy.glob(f"audit/dt=*/tenant/{tenant.tenant_id}/{1:020}.jsonl"))
    content = bytearray(file.read_bytes())
    content[content.index(b"limits.set")] ^= 1
    file.write_bytes(content)
    damaged = trail.verify(str(copy))
    assert damaged.returncode == 1
    assert f"FAULT  {chain} record 1 in " in damaged.stdout


def test_a_record_can_neither_be_deleted_nor_written_over(noted: list[Record], trail: Trail, tenant: Caller) -> None:
    pages = trail.s3.get_paginator("list_object_versions").paginate(Bucket=trail.bucket, Prefix="audit/")
    versions = [version for page in pages for version in page["Versions"] if f"/{tenant.tenant_id}/" in version["Key"]]
    for version in versions:
        with pytest.raises(ClientError) as refused:
            trail.s3.delete_object(Bucket=trail.bucket, Key=version["Key"], VersionId=version["VersionId"])
        assert refused.value.response["Error"]["Code"] == "AccessDenied"
        with pytest.raises(ClientError) as refused:
            trail.s3.put_object(Bucket=trail.bucket, Key=version["Key"], Body=b"", IfNoneMatch="*")
        assert refused.value.response["Error"]["Code"] == "PreconditionFailed"


def test_what_the_stream_never_brought_is_found(admin: Caller, tenant: Caller, trail: Trail, noted: list[Record], stack: Stack) -> None:
    """And what it brought is not there twice."""
    assert trail.task("sweep")["failed"] == 0
    assert records(admin, chain=f"tenant={tenant.tenant_id}") == noted
    table = stack.table("TenancyTableName")
    assert table.get_item(Key={"PK": "AUDIT#HEADS", "SK": f"tenant={tenant.tenant_id}"})["Item"]["sequence"] == 2


def test_queries_show_the_same(noted: list[Record], stack: Stack, tenant: Caller) -> None:
    lake = Lake(stack)
    assert QUERIES.keys() == {"denied-changes", "who-changed-what"}
    for name, expected in (("denied-changes", noted[0]), ("who-changed-what", noted[1])):
        rows = [row for row in lake.query(QUERIES[name]) if row["chain"] == f"tenant={tenant.tenant_id}"]
        fields = ("action", "subject", "principal_id", "tenant_id")
        assert [tuple(row[field] for field in fields) for row in rows] == [tuple(expected[field] for field in fields)]
    assert str(2**53 + 1) in str(rows[0]["value_after"])
