"""A budget holds, whatever happens: 200 calls at once against money for 50, with and without the function being killed.

Each call is scripted to use exactly what was reserved for it, so settling one gives nothing back, and exactly 50 calls
fit however fast or slow they are. ``WEIR_E2E_ROUNDS`` rounds (default 4): every other one kills processes of ``invoke``
at random moments; half limit a tenant, half a line of business with two tenants. Each prints a line of figures.
"""

from __future__ import annotations

import asyncio
import collections
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai
import pytest

from functions import Functions
from ledger import Ledger
from simulator import Simulator, messages
from stack import Caller, Stack
from tenants import Tenants
from waiting import until

ROUNDS = int(os.environ.get("WEIR_E2E_ROUNDS") or 4)
CALLS = 200
ALLOWED = 50
KILLS = 12
#: The SDK tries again when a busy machine cannot reach the ledger in time (503) or a function was killed, and not when
#: a budget is spent.
RETRIES = 8
MODEL = "nova-pro"
OUTPUT_TOKENS = 20
#: Seconds between two looks at the meters; without a pause, looking would take the local DynamoDB for itself.
SAMPLE_EVERY_S = 0.02
#: A streamed request has `"stream":true` in it: so many bytes more, which bound so many tokens.
STREAM_BYTES = len("stream") + len("true")


@dataclass(frozen=True)
class Request:
    """A call that uses what it reserves. All of a round have the same size."""

    input_tokens: int
    is_streamed: bool
    latency_ms: int

    @property
    def arguments(self) -> dict[str, Any]:
        """For the SDK."""
        padding = "x" * (20 if self.is_streamed else 20 + STREAM_BYTES)
        script = messages(
            padding,
            chunks=["one ", "two ", "three ", "four ", "five."],
            chunk_delay_ms=100,
            latency_ms=self.latency_ms,
            usage={"input": self.input_tokens, "output": OUTPUT_TOKENS},
        )
        stream = {"stream": True} if self.is_streamed else {}
        return {"model": MODEL, "messages": script, "max_tokens": OUTPUT_TOKENS, **stream}


@pytest.fixture(scope="module")
def price(stack: Stack) -> dict[str, int]:
    """Pico-USD per token of the model."""
    books = stack.table("TenancyTableName").query(
        KeyConditionExpression="PK = :pk AND begins_with(SK, :prices)",
        ExpressionAttributeValues={":pk": "CATALOG", ":prices": "PRICES#"},
    )["Items"]
    rates = max(books, key=lambda book: book["valid_from"])["models"][MODEL]
    price = next(rate["price"] for rate in rates if rate.keys() == {"price"})
    return {kind: int(amount) for kind, amount in price.items()}


@pytest.fixture(scope="module")
def size(stack: Stack, ledger: Ledger, price: dict[str, int]) -> tuple[int, int]:
    """What a call reserves: input tokens and nano-USD. Learned from two real calls, streamed and not."""
    tenants = Tenants(stack)
    try:
        caller = tenants.tenant(tenants.lob(), [MODEL])
        reserved = set()
        for is_streamed in (False, True):
            raw = caller.openai.chat.completions.with_raw_response.create(**Request(100, is_streamed, 1000).arguments)
            if is_streamed:
                list(raw.parse())
            reserved.add(int(ledger.record(caller, raw.headers["x-request-id"])["reserved_nanousd"]))
        (amount,) = reserved
    finally:
        tenants.forget()
    input_tokens, rest = divmod(amount * 1000 - OUTPUT_TOKENS * price["output"], price["input"])
    assert rest == 0
    assert 100 <= input_tokens <= 999, "the scripted count must be as long as the one that was tried"
    return input_tokens, amount


@dataclass
class Sampler:
    """Reads meters all the time, and checks every single read."""

    ledger: Ledger
    scopes: list[str]
    limited: str
    budget: int
    reads: int = 0
    most: int = 0
    faults: list[str] = field(default_factory=list)

    def read(self) -> None:
        """One look at every scope."""
        for scope in self.scopes:
            meter = self.ledger.meter(scope)
            self.reads += 1
            total = meter.committed
            if total < meter.reserved:
                self.faults.append(f"{scope}: open {meter.reserved} is not part of {meter.committed}")
            if scope == self.limited:
                self.most = max(self.most, total)
                if total > self.budget:
                    self.faults.append(f"{scope}: {total} is over the budget of {self.budget}")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Reads until the context ends, in a thread of its own."""
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(SAMPLE_EVERY_S):
                self.read()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@dataclass
class Answers:
    """What became of the calls."""

    succeeded: set[str] = field(default_factory=set)
    denied: list[openai.RateLimitError] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unavailable: int = 0

    async def look(self, answer: httpx2.Response) -> None:
        """Counts the answers after which the SDK tries again because the ledger did not answer in time."""
        self.unavailable += answer.status_code == 503

    async def ask(self, client: openai.AsyncOpenAI, request: Request) -> None:
        """Makes one call and notes what came of it."""
        try:
            raw = await client.chat.completions.with_raw_response.create(**request.arguments)
            if request.is_streamed:
                chunks = [chunk async for chunk in raw.parse()]
                assert chunks[-1].choices[0].finish_reason, "a stream ended without an end"
            self.succeeded.add(raw.headers["x-request-id"])
        except openai.RateLimitError as error:
            self.denied.append(error)
        except (openai.APIError, httpx2.HTTPError) as error:
            self.broken.append(f"{type(error).__name__}: {error}")


def attack(
    callers: list[Caller], requests: list[Request], functions: Functions, kills: int, rng: random.Random
) -> tuple[Answers, int]:
    """All requests at once, spread over ``callers``; and how many processes were killed meanwhile."""
    answers = Answers()

    async def kill() -> int:
        killed = 0
        for _ in range(kills):
            await asyncio.sleep(rng.uniform(0.05, 0.6))
            busy = await asyncio.to_thread(functions.busy_invoke_processes)
            killed += bool(busy) and functions.kill(rng.choice(busy))
        return killed

    async def run() -> int:
        clients = [caller.async_openai(CALLS, RETRIES, answers.look) for caller in callers]
        killer = asyncio.create_task(kill())
        calls = (answers.ask(clients[index % len(clients)], request) for index, request in enumerate(requests))
        await asyncio.gather(*calls)
        killed = await killer
        for client in clients:
            await client.close()
        return killed

    return answers, asyncio.run(run())


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_two_hundred_calls_against_money_for_fifty(
    tenants: Tenants,
    ledger: Ledger,
    simulator: Simulator,
    functions: Functions,
    size: tuple[int, int],
    capsys: pytest.CaptureFixture[str],
    round_: int,
) -> None:
    started = time.monotonic()
    input_tokens, amount = size
    budget = ALLOWED * amount
    rng = random.Random(f"weir {round_}")
    is_killing = round_ % 2 == 1
    is_of_lob = round_ // 2 % 2 == 1

    lob_id = tenants.lob(**({"budget_per_month": budget} if is_of_lob else {}))
    if is_of_lob:
        callers = [tenants.tenant(lob_id, [MODEL]) for _ in range(2)]
        limited = f"LOB#{lob_id}"
        neighbour = tenants.tenant(tenants.lob(), [MODEL])
    else:
        callers = [tenants.tenant(lob_id, [MODEL], budget_per_month=budget)]
        limited = f"TENANT#{callers[0].tenant_id}"
        neighbour = tenants.tenant(lob_id, [MODEL], budget_per_month=budget)
    for caller in [*callers, neighbour]:
        caller.openai.models.list()
    requests = [Request(input_tokens, index % 2 == 1, rng.randint(1000, 3000)) for index in range(CALLS)]
    scopes = [*(f"TENANT#{caller.tenant_id}" for caller in callers), f"LOB#{lob_id}"]
    before = simulator.last_seq()

    sampler = Sampler(ledger, scopes, limited, budget)
    with sampler.running():
        answers, killed = attack(callers, requests, functions, KILLS if is_killing else 0, rng)
        until(lambda: not functions.busy_invoke_processes(), "the end of every call", 60)
    took = time.monotonic() - started

    assert sampler.faults == []
    assert len(answers.succeeded) + len(answers.denied) + len(answers.broken) == CALLS
    for error in answers.denied:
        check_denial(error, limited)
    held = {scope: ledger.still_open(scope, answers.succeeded) for scope in scopes}
    if answers.denied and not answers.unavailable:
        assert ledger.meter(limited).committed == budget, "spent, or held for a call that was killed"
    # A busy machine may break calls off as well: a write that timed out may have happened, its release may be lost.
    is_undisturbed = not is_killing and not answers.unavailable and not answers.broken
    if is_undisturbed:
        assert len(answers.succeeded) == ALLOWED
        assert not any(held.values()), "the stream has settled everything"
    assert len(answers.succeeded) + len(held[limited]) <= ALLOWED

    swept = collections.Counter[str]()
    if not is_undisturbed:
        swept.update(functions.sweep())
    meters = {scope: ledger.settled_meter(scope) for scope in scopes}
    calls = {caller.tenant_id: simulator.calls(before, caller.tenant_id) for caller in callers}
    records = {caller.tenant_id: ledger.records(caller.tenant_id) for caller in callers}
    abandoned = check_books(limited, budget, meters, calls, records)
    if is_undisturbed:
        assert abandoned == 0
        assert sum(len(made) for made in calls.values()) == ALLOWED
        assert {record["call_id"] for kept in records.values() for record in kept} == answers.succeeded
    assert answers.succeeded <= {call["call_id"] for made in calls.values() for call in made}

    # The neighbour has noticed nothing, and was charged for nothing.
    assert ledger.records(neighbour.tenant_id) == []
    neighbour.openai.chat.completions.create(**Request(input_tokens, False, 1000).arguments)
    with capsys.disabled():
        print(
            f"\nround {round_}: {'LOB' if is_of_lob else 'tenant'} budget, {killed} kills, {took:.1f} s: "
            f"{len(answers.succeeded)} succeeded, {len(answers.denied)} denied, {len(answers.broken)} broken, "
            f"{answers.unavailable} times 503; "
            f"{sampler.reads} reads, at most {sampler.most / budget:.0%} of the budget; "
            f"{sum(map(len, calls.values()))} provider calls, {sum(map(len, records.values()))} records, "
            f"{abandoned} of them abandoned; {len(set().union(*held.values()))} calls held for the sweep: {dict(swept)}"
        )


def check_denial(error: openai.RateLimitError, limited: str) -> None:
    """A person learns which limit it is, whose, and when it resets; an SDK learns not to try again."""
    level, _, name = limited.partition("#")
    scope = f"{'tenant' if level == 'TENANT' else 'line of business'} `{name}`"
    assert error.code == "insufficient_quota"
    assert isinstance(error.body, dict)
    message = error.body["message"]
    assert scope in message
    assert "budget per month" in message
    now = time.gmtime()
    year, month = (now.tm_year + 1, 1) if now.tm_mon == 12 else (now.tm_year, now.tm_mon + 1)
    assert f"anew at {year}-{month:02}-01T00:00:00Z" in message
    assert error.response.headers["x-should-retry"] == "false"


def check_books(
    limited: str,
    budget: int,
    meters: dict[str, Any],
    calls: dict[str, list[dict[str, Any]]],
    records: dict[str, list[dict[str, Any]]],
) -> int:
    """One record per provider call, none without a call but estimates, counters that are their sums.

    How many were estimates.
    """
    total = {"cost": 0, "tokens": 0}
    abandoned = 0
    for tenant_id, kept in records.items():
        called = [call["call_id"] for call in calls[tenant_id]]
        attempts = [(record["call_id"], record["attempt"]) for record in kept]
        recorded = {call_id for call_id, _ in attempts}
        assert len(set(called)) == len(called), "the provider was called twice for one call"
        assert len(set(attempts)) == len(attempts), "an attempt has two records"
        assert set(called) <= recorded, "a provider call has no record"
        for record in kept:
            outcome, is_estimated, cost = record["outcome"], record["is_estimated"], record["cost_nanousd"]
            abandoned += outcome == "abandoned"
            if outcome == "completed":
                assert record["call_id"] in called, "a record of a call that was never made"
                assert (is_estimated, cost) == (False, record["reserved_nanousd"]), "scripted so"
            elif is_estimated:
                assert outcome in ("abandoned", "failed")
                assert 0 < cost <= record["reserved_nanousd"]
            else:
                assert outcome in ("refused", "failed")
                assert cost == 0, "STS or the provider failed before anything ran"
        cost = sum(int(record["cost_nanousd"]) for record in kept)
        tokens = sum(int(sum(record["usage"].values())) for record in kept)
        meter = meters[f"TENANT#{tenant_id}"]
        assert (meter.settled, meter.committed, meter.day_tokens) == (cost, cost, tokens)
        total["cost"] += cost
        total["tokens"] += tokens
    (lob,) = (meter for scope, meter in meters.items() if scope.startswith("LOB#"))
    if not limited.startswith("LOB#"):
        # Nobody asks the meter of a scope without limits.
        total = {"cost": 0, "tokens": 0}
    assert (lob.settled, lob.committed, lob.day_tokens) == (total["cost"], total["cost"], total["tokens"])
    assert meters[limited].settled <= budget
    return abandoned


def test_what_a_call_does_not_use_is_free_for_the_next(
    tenants: Tenants, ledger: Ledger, size: tuple[int, int], price: dict[str, int], globex: Caller
) -> None:
    """Money for one reservation and a half: calls that use little go on one after another until it is really spent."""
    _, amount = size
    budget = amount * 3 // 2
    caller = tenants.tenant(tenants.lob(), [MODEL], budget_per_month=budget)
    used = (100 * price["input"] + OUTPUT_TOKENS * price["output"]) // 1000
    fitting = (budget - amount) // used + 1
    assert fitting > 2
    create = caller.openai.chat.completions.create
    for _ in range(fitting):
        completion = create(**Request(100, False, 1000).arguments)
        assert ledger.record(caller, str(completion._request_id))["cost_nanousd"] == used
    with pytest.raises(openai.RateLimitError) as raised:
        create(**Request(100, False, 1000).arguments)
    check_denial(raised.value, f"TENANT#{caller.tenant_id}")
    assert ledger.settled_meter(f"TENANT#{caller.tenant_id}").settled == fitting * used
    globex.openai.chat.completions.create(**Request(100, False, 1000).arguments)
