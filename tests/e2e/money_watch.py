"""Looks at meters all the time while calls are made, and checks every single look."""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ledger import Ledger, Meter
from money_limits import Bound

#: Seconds between two looks; without a pause, looking would take the local DynamoDB for itself.
PAUSE_S = 0.25


@dataclass
class Watch:
    """Consistent reads of whole meters: nothing can hide between two items."""

    ledger: Ledger
    scopes: list[str]
    bounds: list[Bound]
    looks: int = 0
    #: The most that was seen of each kind of bound, as a share of it.
    most: collections.defaultdict[str, float] = field(default_factory=lambda: collections.defaultdict(float))
    faults: list[str] = field(default_factory=list)
    _settled: dict[tuple[str, str], int] = field(default_factory=dict)

    def look(self) -> None:
        """One look at every meter of every scope."""
        for scope in self.scopes:
            meters = self.ledger.meters(scope)
            for kind, meter in meters.items():
                self.looks += 1
                self._check_settled((scope, kind), meter)
            for bound in self.bounds:
                meter = meters.get(bound.meter[1]) if bound.meter[0] == scope else None
                if meter is not None:
                    self._check_bound(bound, meter)

    def _check_bound(self, bound: Bound, meter: Meter) -> None:
        used = bound.used(meter)
        self.most[bound.name] = max(self.most[bound.name], used / bound.amount)
        if used > bound.amount:
            self.faults.append(f"overrun: {bound} shows {used}")

    def _check_settled(self, key: tuple[str, str], meter: Meter) -> None:
        """What is committed is what was settled and what is open: so what is settled is never less than it was."""
        before, self._settled[key] = self._settled.get(key, 0), meter.settled
        if meter.settled < before:
            self.faults.append(f"committed is less than settled and open: {key} has settled {meter.settled} after {before}")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Looks until the context ends, in a thread of its own."""
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(PAUSE_S):
                self.look()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        self.look()
