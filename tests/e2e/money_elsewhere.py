"""Where else usage stands: in the lake's Parquet files and in statements. What they must say is what the ledger's records say."""

from __future__ import annotations

import collections
import json
import subprocess
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from stack import ROOT, Stack

Record = dict[str, Any]

#: DuckDB is installed beside the local AWS, whose Athena it is.
PYTHON = ROOT / ".local" / "venv" / "bin" / "python"
#: Rows of the files in the folder that is the argument, as JSON.
READ = """
import sys, duckdb
rows = duckdb.sql(f"select call_id, attempt, tenant_id, lob_id, model, input_tokens, output_tokens, cost_nanousd, is_estimated, outcome "
                  f"from read_parquet('{sys.argv[1]}/*.parquet')")
names = rows.columns
import json; print(json.dumps([dict(zip(names, row)) for row in rows.fetchall()]))
"""


def hour_of(call_id: str) -> datetime:
    """The hour in which a call began, by the time that its id (a UUIDv7) begins with."""
    moment = datetime.fromtimestamp(int(call_id[:12], 16) / 1000, timezone.utc)
    return moment.replace(minute=0, second=0, microsecond=0)


def lake_rows(stack: Stack, hours: set[datetime]) -> list[dict[str, Any]]:
    """What the lake's files of these hours hold."""
    s3, bucket = stack.aws("s3"), stack.outputs["LakeBucketName"]
    with tempfile.TemporaryDirectory() as folder:
        found = 0
        for hour in sorted(hours):
            prefix = f"usage/dt={hour:%Y-%m-%d}/hour={hour:%H}/"
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for entry in page.get("Contents", []):
                    body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                    Path(folder, f"{found}.parquet").write_bytes(body)
                    found += 1
        if not found:
            return []
        read = subprocess.run([str(PYTHON), "-c", READ, folder], check=True, capture_output=True, text=True)
        return json.loads(read.stdout)


def _row(record: Record) -> dict[str, Any]:
    """A record as the lake has it."""
    usage = record["usage"]
    return {
        **{name: record[name] for name in ("call_id", "tenant_id", "lob_id", "model", "outcome")},
        **{name: int(record[name]) for name in ("attempt", "cost_nanousd")},
        "input_tokens": int(usage.get("input", 0)),
        "output_tokens": int(usage.get("output", 0)),
        "is_estimated": bool(record["is_estimated"]),
    }


def lake_faults(rows: list[dict[str, Any]], records: list[Record]) -> list[str]:
    """Every record stands in the lake once, as it is, and nothing else of its tenants does."""
    faults = []
    tenants = {record["tenant_id"] for record in records}
    found = collections.defaultdict(list)
    for row in rows:
        if row["tenant_id"] in tenants:
            found[row["call_id"], row["attempt"]].append(row)
    for record in records:
        same = found.pop((record["call_id"], int(record["attempt"])), [])
        if len(same) != 1:
            faults.append(f"{'lost' if not same else 'doubled'}: {record['SK']} stands {len(same)} times in the lake")
        elif same[0] != _row(record):
            faults.append(f"the lake says {same[0]} of {_row(record)}")
    return faults + [f"the lake has {key}, which is no record" for key in found]


#: The statement of who has used nothing: there is none.
NOTHING: dict[str, Any] = {
    "lines": [],
    "totals": {"calls": 0, "records": 0, "estimated_records": 0, "cost_nanousd": 0},
}


def draft(stack: Stack, account: str) -> dict[str, Any] | None:
    """The statement of an account (``tenant=..``) of this month, as it would be if the month ended now."""
    task = {"task": "draft_statement", "period": f"{datetime.now(timezone.utc):%Y-%m}", "account": account}
    answer = stack.aws("lambda").invoke(FunctionName=stack.outputs["BillingFunctionName"], Payload=json.dumps(task))
    outcome = json.load(answer["Payload"])
    assert "FunctionError" not in answer, outcome
    if outcome["draft"] is None:
        return None
    found = stack.aws("s3").get_object(Bucket=stack.outputs["StatementsBucketName"], Key=f"{outcome['draft']}.json")
    return json.load(found["Body"])


def statement_faults(statement: dict[str, Any] | None, records: list[Record]) -> list[str]:
    """The statement of a tenant whose only usage these records are: totals, and lines that add up to them."""
    statement = statement or NOTHING
    wanted = {
        "calls": sum(int(record["attempt"]) == 1 for record in records),
        "records": len(records),
        "estimated_records": sum(bool(record["is_estimated"]) for record in records),
        "cost_nanousd": sum(int(record["cost_nanousd"]) for record in records),
    }
    faults = []
    for name, value in wanted.items():
        lines = sum(int(line[name]) for line in statement["lines"])
        if not int(statement["totals"][name]) == lines == value:
            faults.append(f"a statement has {name} {statement['totals'][name]}, its lines {lines}, the records {value}")
    by_model = collections.Counter[str]()
    for record in records:
        by_model[record["model"]] += int(record["cost_nanousd"])
    billed = collections.Counter[str]()
    for line in statement["lines"]:
        billed[line["model"]] += int(line["cost_nanousd"])
    if billed != by_model:
        faults.append(f"a statement bills {dict(billed)}, the records cost {dict(by_model)}")
    return faults
