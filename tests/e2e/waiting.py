"""Waiting for something that happens by itself, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds between two looks.
INTERVAL_S = 0.05


def until(look: Callable[[], T], what: str, timeout_s: float = 30, interval_s: float = INTERVAL_S) -> T:
    """The first true answer of ``look``. After ``timeout_s`` fails, saying what was waited for and seen."""
    deadline = time.monotonic() + timeout_s
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain for {what}; the last look gave {seen!r}")
        time.sleep(interval_s)
    return seen
