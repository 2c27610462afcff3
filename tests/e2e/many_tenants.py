"""Does a call get slower, or dearer, with the number of tenants?

Fills the tables of the running stack with tenants, and at several sizes measures what a call meets: the authorizer, asked
directly with a token; a chat call through the HTTP endpoint, of which ``server-timing`` says the gateway's own part; a page of
`GET /v1/tenants`; and one read of a tenant's item from the table, which says how much of it is the local AWS getting slower. In the end it takes all tenants away but the first, and measures again: what differs between the first and the last line
is noise. It finishes with a walk through the whole list, in pages.

    .local/venv-clients/bin/python tests/e2e/many_tenants.py --sizes 100 1000 10000
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("WEIR_STACK", str(Path(__file__).resolve().parents[2] / ".local" / "stack.json"))

from stack import Caller, Stack
from tenants import Tenants

#: Callers that are measured, of as many tenants.
CALLERS = 20
#: Calls of each kind at each size.
CALLS = 200
PAGE = 100
MODEL = "nova-lite"
OWN = re.compile(r"dur=([0-9.]+)")


def items(lob_id: str, numbers: range) -> Iterator[tuple[str, dict[str, object], dict[str, object]]]:
    """Tenants of a line of business: partition, item and meter of each."""
    for number in numbers:
        tenant_id = f"many-{number:06}"
        partition = f"TENANT#{tenant_id}"
        common = {"PK": partition, "status": "active", "entitlement_version": 1}
        meta = {"SK": "META", "tenant_id": tenant_id, "lob_id": lob_id, "name": tenant_id, "models": [MODEL], "limits": [], "version": 1}
        yield partition, {**common, **meta}, {**common, "SK": "METER", "meter_kind": "METER", "open": {}}


def fill(stack: Stack, lob_id: str, numbers: range) -> None:
    """Writes tenants as they are in the tables."""
    tenancy, ledger = stack.table("TenancyTableName"), stack.table("LedgerTableName")
    with tenancy.batch_writer() as metas, ledger.batch_writer() as meters:
        for _, meta, meter in items(lob_id, numbers):
            metas.put_item(Item=meta)
            meters.put_item(Item=meter)


def empty(stack: Stack, lob_id: str, numbers: range) -> None:
    """Takes them away."""
    tenancy, ledger = stack.table("TenancyTableName"), stack.table("LedgerTableName")
    with tenancy.batch_writer() as metas, ledger.batch_writer() as meters:
        for partition, _, _ in items(lob_id, numbers):
            metas.delete_item(Key={"PK": partition, "SK": "META"})
            meters.delete_item(Key={"PK": partition, "SK": "METER"})


def timed(call: Callable[[], object]) -> float:
    """Milliseconds of a call."""
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def authorize(stack: Stack, caller: Caller) -> None:
    """Asks the authorizer as API Gateway does."""
    event = {
        "type": "REQUEST",
        "methodArn": f"arn:aws:execute-api:{stack.region}:000000000000:api/live/POST/v1/chat/completions",
        "headers": {"authorization": f"Bearer {caller.token}"},
        "requestContext": {},
    }
    answer = stack.aws("lambda").invoke(FunctionName=stack.outputs["AuthorizerFunctionName"], Payload=json.dumps(event))
    policy = json.loads(answer["Payload"].read())
    assert policy["context"]["tenant_id"] == caller.tenant_id, policy


def chat(caller: Caller) -> float:
    """A call of a model; the gateway's own milliseconds of it."""
    body = {"model": MODEL, "max_tokens": 16, "messages": [{"role": "user", "content": "Hello."}]}
    answer = caller.post_chat(body)
    assert answer.status_code == 200, answer.text
    found = OWN.search(answer.headers["server-timing"])
    assert found, answer.headers
    return float(found[1])


def read(table: Any, caller: Caller) -> None:
    """Reads a tenant's item, past all functions."""
    assert "Item" in table.get_item(Key={"PK": f"TENANT#{caller.tenant_id}", "SK": "META"}, ConsistentRead=True)


def measure(stack: Stack, callers: list[Caller], admin: Caller, lob_id: str) -> dict[str, list[float]]:
    """Milliseconds of each kind of call."""
    turns = [callers[number % len(callers)] for number in range(CALLS)]
    table = stack.table("TenancyTableName")
    for caller in callers:
        authorize(stack, caller)
        chat(caller)
    return {
        "authorizer": [timed(lambda caller=caller: authorize(stack, caller)) for caller in turns],
        "gateway's own part of a chat call": [chat(caller) for caller in turns],
        "one read of the table": [timed(lambda caller=caller: read(table, caller)) for caller in turns],
        "a page of 100 tenants": [timed(lambda: page(admin, lob_id)) for _ in range(CALLS // 10)],
    }


def page(admin: Caller, lob_id: str, cursor: str = "") -> dict[str, object]:
    """A page of the list of tenants."""
    more = f"&cursor={cursor}" if cursor else ""
    answer = admin.send("GET", f"/tenants?lob={lob_id}&limit={PAGE}{more}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def walk(admin: Caller, lob_id: str) -> tuple[int, list[float]]:
    """All tenants of the list, each once; milliseconds of each page."""
    seen: set[str] = set()
    times, cursor = [], ""
    while True:
        started = time.perf_counter()
        found = page(admin, lob_id, cursor)
        times.append((time.perf_counter() - started) * 1000)
        ids = [tenant["tenant_id"] for tenant in found["data"]]
        assert not seen & set(ids), "a tenant stands in two pages"
        seen.update(ids)
        cursor = found.get("next_cursor") or ""
        if not cursor:
            return len(seen), times


def line(label: str, found: dict[str, list[float]]) -> str:
    """A row of the table: median and 95th percentile of each."""
    cells = [f"{statistics.median(times):.1f} / {statistics.quantiles(times, n=20)[-1]:.1f}" for times in found.values()]
    return f"| {label} | {' | '.join(cells)} |"


def main() -> None:
    """Measures at each size, and cleans up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000], help="tenants in the tables (100 1000 10000)")
    options = parser.parse_args()
    stack = Stack.load()
    tenants = Tenants(stack)
    admin = stack.person("globex", "org_admin")
    lob_id = tenants.lob()
    callers = [tenants.tenant(lob_id, [MODEL]) for _ in range(CALLERS)]
    sizes = [CALLERS, *options.sizes]
    try:
        found = measure(stack, callers, admin, lob_id)
        print("| tenants | " + " | ".join(f"{name}, ms: p50 / p95" for name in found) + " |")
        print("|--:|" + "--:|" * len(found))
        print(line(f"{CALLERS:,}", found), flush=True)
        for smaller, size in pairwise(sizes):
            fill(stack, lob_id, range(smaller, size))
            print(line(f"{size:,}", measure(stack, callers, admin, lob_id)), flush=True)
        count, times = walk(admin, lob_id)
        assert count == sizes[-1], count
        halves = times[: len(times) // 2], times[len(times) // 2 :]
        print(f"\nThe list: {count:,} tenants in {len(times)} pages; first and second half: {', '.join(f'{statistics.median(half):.1f}' for half in halves)} ms a page.")
    finally:
        empty(stack, lob_id, range(CALLERS, sizes[-1]))
        try:
            print(line(f"{CALLERS:,} again", measure(stack, callers, admin, lob_id)))
        finally:
            tenants.forget()


if __name__ == "__main__":
    main()
