"""One round of the money campaign: calls, trouble, and what the books say afterwards."""

from __future__ import annotations

import asyncio
import collections
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from chaos import Chaos, clock_skew_library
from functions import Functions
from ledger import Ledger, Meter, partitions
from money_books import Books
from money_calls import Answers, Call, make_all
from money_elsewhere import NOTHING, draft, hour_of, lake_faults, lake_rows, statement_faults
from money_limits import MODELS, Bound, Plan
from money_watch import Watch
from prices import prices
from simulator import Simulator
from stack import Caller, Stack
from tenants import Tenants
from waiting import until

#: Either way: two instances differ by up to a minute.
CLOCK_SKEW_S = 30
#: What goes wrong, see ``weir_local.chaos``.
TROUBLE = {
    "environments": 32,
    "clock_skew_s": CLOCK_SKEW_S,
    "throttled": 0.01,
    "throttled_in_burst": 0.7,
    "burst_every_s": 6,
    "burst_for_s": 0.4,
    "refused": 0.005,
    "answer_lost": 0.01,
    "delayed": 0.03,
    "delay_s": 0.4,
    "redelivered": 0.3,
    "stream_retention_s": 900,
}
#: Seconds between two kills, on average.
KILL_EVERY_S = 2.0
#: Seconds that the stream may take to settle what was answered, once nothing goes wrong any more.
STREAM_PATIENCE_S = 600
#: One sweep is enough, unless another one works on the same items.
SWEEPS = 3
#: How likely each function is the next to lose a process.
VICTIMS = {"InvokeFunctionName": 0.65, "MeteringAggregatorFunctionName": 0.35}


@dataclass
class Result:
    """What a round was and what it showed. No faults: it held."""

    seed: int
    calls: int
    took_s: float = 0
    #: Of that, until every call had ended, and from then until everything was settled and swept.
    calling_s: float = 0
    settling_s: float = 0
    most_under_way: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=dict)
    trouble: dict[str, int] = field(default_factory=dict)
    #: Seconds by which clocks of instances were wrong, the least and the most.
    clock_skew_s: list[float] = field(default_factory=list)
    looks: int = 0
    #: The most that was ever committed of each kind of limit, as a share of it.
    most_committed: dict[str, float] = field(default_factory=dict)
    swept: dict[str, int] = field(default_factory=dict)
    books: dict[str, int] = field(default_factory=dict)
    #: Of records in the lake and lines of statements: whether they were compared.
    compared: dict[str, bool] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """For the result file."""
        return asdict(self)


@dataclass
class Killer:
    """Kills processes of functions at random moments."""

    functions: Functions
    rng: random.Random
    kills: collections.Counter[str] = field(default_factory=collections.Counter)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Until the context ends."""
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(self.rng.expovariate(1 / KILL_EVERY_S)):
                (output,) = self.rng.choices(list(VICTIMS), list(VICTIMS.values()))
                busy = self.functions.busy_processes(output)
                if busy and self.functions.kill(self.rng.choice(busy)):
                    self.kills[output.removesuffix("FunctionName")] += 1

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@dataclass
class World:
    """The tenants of a round: two, each with two programs, below one line of business."""

    lob_id: str
    plan: Plan
    tenant_ids: list[str]
    callers: list[Caller]
    bounds: list[Bound]

    @classmethod
    def of(cls, tenants: Tenants, plan: Plan) -> World:
        """Makes them."""
        lob_id = tenants.lob(plan.lob, plan.shards)
        callers, tenant_ids = [], []
        for limits in plan.tenants:
            first = tenants.tenant(lob_id, MODELS)
            second = tenants.machine(first.tenant_id, lob_id)
            tenants.change(f"TENANT#{first.tenant_id}", **limits.item([first.client_id, second.client_id]))
            callers += [first, second]
            tenant_ids.append(first.tenant_id)
        bounds = plan.lob_bounds(lob_id, tenant_ids)
        for limits, tenant_id in zip(plan.tenants, tenant_ids, strict=True):
            principals = [caller.client_id for caller in callers if caller.tenant_id == tenant_id]
            bounds += limits.bounds(tenant_id, principals)
        return cls(lob_id, plan, tenant_ids, callers, bounds)

    @property
    def scopes(self) -> list[str]:
        """Partitions that their meters are in."""
        shards = partitions(f"LOB#{self.lob_id}", self.plan.shards)
        return [*shards, *(f"TENANT#{tenant_id}" for tenant_id in self.tenant_ids)]

    def meters_of(self, record: dict[str, Any]) -> set[str]:
        """The meters that must hold a call, by the names that records have for them."""
        tenant_id = record["tenant_id"]
        limits = self.plan.tenants[self.tenant_ids.index(tenant_id)]
        shares = {
            name.replace(f"lob={self.lob_id}", f"tenant={tenant_id}")
            for name in self.plan.lob_meters(self.lob_id, record)
            if any("max_share" in limit for limit in self.plan.lob)
        }
        # Only a limit without models has a share here, and the tenant's own meter holds every call anyway.
        shares = {name for name in shares if " " not in name}
        return self.plan.lob_meters(self.lob_id, record) | limits.meters(tenant_id, record) | shares


def meter_name(scope: str, kind: str) -> str:
    """The name that records have for a meter, from its key; shards of one have the same."""
    level, owner, *_ = scope.split("#")
    name = f"{level.lower()}={owner}"
    words = kind.split("#")[1:]
    parts = [f"{word.lower()}={value}" for word, value in zip(words[::2], words[1::2], strict=True)]
    # A record names the project or the principal first, then the models.
    return " ".join([name, *sorted(parts, key=lambda part: part.startswith(("model=", "family=")))])


@dataclass
class Round:
    """A round on a running stack."""

    stack: Stack
    seed: int
    calls: int

    def run(self) -> Result:
        """Runs it; faults are in the result."""
        started = time.monotonic()
        result = Result(self.seed, self.calls)
        rng = random.Random(f"weir money {self.seed}")
        ledger, functions, chaos = Ledger(self.stack), Functions(self.stack), Chaos(self.stack)
        simulator = Simulator(self.stack)
        tenants = Tenants(self.stack)
        try:
            world = World.of(tenants, Plan.of(rng, self.calls))
            calls = [Call.of(rng, len(world.callers)) for _ in range(self.calls)]
            for caller in world.callers:
                # Its token is verified now, and not a thousand times at once.
                caller.openai.models.list()
            before = simulator.last_seq()
            watch = Watch(ledger, world.scopes, world.bounds)
            killer = Killer(functions, rng)
            chaos.set(seed=self.seed, clock_skew_library=clock_skew_library(), **TROUBLE)
            with watch.running():
                with killer.at_work():
                    answers = asyncio.run(make_all(world.callers, calls))
                    until(lambda: not functions.busy_invoke_processes(), "the end of every call", 120)
                result.calling_s = round(time.monotonic() - started, 1)
                result.trouble = chaos.counts()
                chaos.set(redelivered=TROUBLE["redelivered"], stream_retention_s=TROUBLE["stream_retention_s"])
                self._quiesce(result, functions, ledger, world, answers)
                result.trouble |= {name: count + result.trouble.get(name, 0) for name, count in chaos.counts().items()}
                result.settling_s = round(time.monotonic() - started - result.calling_s, 1)
            self._fill(result, answers, watch, killer)
            self._check(result, world, ledger, simulator, before, answers)
        finally:
            chaos.set(stream_retention_s=TROUBLE["stream_retention_s"])
            tenants.forget()
        result.took_s = round(time.monotonic() - started, 1)
        return result

    def _quiesce(self, result: Result, functions: Functions, ledger: Ledger, world: World, answers: Answers) -> None:
        """Waits until the stream has settled every answered call, then sweeps up what killed functions left."""
        done = set(answers.succeeded)

        def is_settled() -> bool:
            still_open = set().union(*(done & _open_calls(ledger, scope) for scope in world.scopes))
            # A record that could not be written, however often it was tried, is the sweep's to write.
            return not any(ledger.find(tenant_id, call_id) for tenant_id in world.tenant_ids for call_id in still_open)

        try:
            until(is_settled, "the stream to settle the answered calls", STREAM_PATIENCE_S)
        except AssertionError as error:
            result.faults.append(str(error))
        swept = collections.Counter[str]()
        for _ in range(SWEEPS):
            swept.update({name: count for name, count in functions.sweep().items() if isinstance(count, int)})
            if not any(_open_calls(ledger, scope) for scope in world.scopes):
                break
        result.swept = dict(swept)

    @staticmethod
    def _fill(result: Result, answers: Answers, watch: Watch, killer: Killer) -> None:
        result.most_under_way = answers.most_under_way
        result.answers, result.refusals = dict(answers.kinds), dict(answers.refusals)
        result.kills = dict(killer.kills)
        result.looks = watch.looks
        result.most_committed = {name: round(share, 4) for name, share in sorted(watch.most.items())}
        result.faults += watch.faults

    def _lake_faults(self, records: list[dict[str, Any]]) -> list[str]:
        """How the lake differs from the records, once the stream has told the lake of all of them.

        The sweep settles what the stream has not brought yet, so that nothing is open any more says nothing of the stream.
        """
        hours = {hour_of(record["call_id"]) for record in records}
        faults: list[str] = []

        def same() -> bool:
            Functions(self.stack).write_lake()
            faults[:] = lake_faults(lake_rows(self.stack, hours), records)
            return not faults

        try:
            until(same, "the lake to have what the ledger has", timeout_s=90)
        except AssertionError:
            return faults
        return []

    def _check(
        self, result: Result, world: World, ledger: Ledger, simulator: Simulator, before: int, answers: Answers
    ) -> None:
        records = {tenant_id: ledger.records(tenant_id) for tenant_id in world.tenant_ids}
        calls = {tenant_id: simulator.calls(before, tenant_id) for tenant_id in world.tenant_ids}
        shards: dict[str, list[Meter]] = collections.defaultdict(list)
        for scope in world.scopes:
            for kind, meter in ledger.meters(scope).items():
                shards[meter_name(scope, kind)].append(meter)
        meters = {name: Meter.of_shards(of_name) for name, of_name in shards.items()}
        books = Books(records, calls, prices(self.stack, MODELS))
        books.check_records(set(answers.succeeded))
        expected = {record["SK"]: world.meters_of(record) for record in books.all_records}
        books.check_meters(meters, expected, CLOCK_SKEW_S * 1000)
        if "LakeBucketName" in self.stack.outputs:
            result.faults += self._lake_faults(books.all_records)
            result.compared["lake"] = True
        for tenant_id, kept in records.items():
            result.faults += statement_faults(draft(self.stack, f"tenant={tenant_id}"), kept)
        lob = draft(self.stack, f"lob={world.lob_id}")
        if sum(int(record["cost_nanousd"]) for record in books.all_records) != (lob or NOTHING)["totals"]["cost_nanousd"]:
            result.faults.append(f"the statement of the line of business says {lob}")
        result.compared["statement"] = True
        result.books = dict(books.counts)
        result.clock_skew_s = _skews(books, answers)
        result.faults += books.faults


def _open_calls(ledger: Ledger, scope: str) -> set[str]:
    return {call_id for meter in ledger.meters(scope).values() for call_id in meter.open_calls}


def _skews(books: Books, answers: Answers) -> list[float]:
    """How wrong the clocks of instances were: what a record says about the end of its call, and when it was read."""
    skews = [
        (int(record["started_ms"]) + int(record["latency_ms"]) - answers.succeeded[record["call_id"]]) / 1000
        for record in books.all_records
        if record["call_id"] in answers.succeeded and record["outcome"] == "completed"
    ]
    return [round(min(skews), 1), round(max(skews), 1)] if skews else []
