"""What a test wants to go wrong in the local AWS, and what did.

Nothing does unless a test asks for it: ``PUT /_weir/chaos`` (``patches.chaos_endpoint``) sets all of it at once, and the
modules ``patches.chaos_*`` do it.
"""

from __future__ import annotations

import collections
import random
import threading
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Everything is off, or as on AWS, by default. A probability is between 0 and 1."""

    #: Seed of all chances.
    seed: int = 0
    #: How many invocations by REST APIs run at once; the others wait for one to end. 0 for no bound.
    environments: int = 0
    #: Seconds by which the clock of a new process of a function may be wrong, either way.
    clock_skew_s: float = 0
    #: The library that turns the clock of a process, see ``tests/e2e/clock_skew.c``.
    clock_skew_library: str = ""
    #: Of a DynamoDB request by a function: refused as throttled, before it has done anything.
    throttled: float = 0
    #: The same, during a burst of throttling. Bursts have no effect while this is 0.
    throttled_in_burst: float = 0
    #: A burst begins so often, and lasts so long, on average.
    burst_every_s: float = 5
    burst_for_s: float = 0.3
    #: Of a DynamoDB request by a function: answered with a server's error before it has done anything.
    refused: float = 0
    #: Of a DynamoDB request by a function: it is carried out, and its answer is lost.
    answer_lost: float = 0
    #: Of a DynamoDB request by a function: delayed by up to ``delay_s``, before or after it is carried out.
    delayed: float = 0
    delay_s: float = 0.5
    #: Of a batch of a stream that was delivered: delivered again, cut differently, with records before it.
    redelivered: float = 0
    #: Seconds for which a stream keeps its records; a day on AWS. They are what fills the memory in a long test.
    stream_retention_s: float = 24 * 60 * 60

    @classmethod
    def of(cls, wanted: dict[str, Any]) -> Settings:
        """Settings from JSON. Raises ``TypeError`` for a name that is none, ``ValueError`` for a value that is none."""
        settings = cls(**wanted)
        for each in fields(cls):
            value = getattr(settings, each.name)
            is_text = each.name == "clock_skew_library"
            if is_text != isinstance(value, str) or not is_text and (isinstance(value, bool) or not value >= 0):
                raise ValueError(f"{each.name}: {value!r}")
        return settings


@dataclass
class Chaos:
    """The settings in force, and counts of what was done since they were set."""

    settings: Settings = field(default_factory=Settings)
    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    _random: random.Random = field(default_factory=random.Random)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, settings: Settings) -> None:
        """Replaces the settings and forgets the counts."""
        with self._lock:
            self.settings = settings
            self.counts.clear()
            self._random.seed(settings.seed)

    def happens(self, what: str, probability: float) -> bool:
        """Whether something happens now; counted if it does."""
        if probability <= 0:
            return False
        with self._lock:
            happens = self._random.random() < probability
            self.counts[what] += happens
        return happens

    def count(self, what: str, number: int = 1) -> None:
        """Notes that something was done."""
        with self._lock:
            self.counts[what] += number

    def most(self, what: str, number: int) -> None:
        """Notes the largest number of something."""
        with self._lock:
            self.counts[what] = max(self.counts[what], number)

    def between(self, low: float, high: float) -> float:
        """A number in between."""
        with self._lock:
            return self._random.uniform(low, high)

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        with self._lock:
            return {"settings": asdict(self.settings), "counts": dict(self.counts)}


#: Of this process.
CHAOS = Chaos()
