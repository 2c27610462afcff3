"""Makes things go wrong in the local AWS: ``weir_local.chaos`` has what, and what each of it means."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack import ROOT, Stack

#: What turns the clocks of processes.
SOURCE = Path(__file__).with_name("clock_skew.c")
LIBRARY = ROOT / ".local" / "clock_skew.so"


def clock_skew_library() -> str:
    """Where the library is, built if it is not: by the compiler that Rust links with."""
    if not LIBRARY.exists() or LIBRARY.stat().st_mtime < SOURCE.stat().st_mtime:
        draft = LIBRARY.with_suffix(".new")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(draft), str(SOURCE), "-ldl"], check=True)
        draft.replace(LIBRARY)
    return str(LIBRARY)


@dataclass(frozen=True)
class Chaos:
    """Control of it."""

    stack: Stack

    @property
    def _url(self) -> str:
        return f"{self.stack.aws_url}/_weir/chaos"

    def set(self, **settings: Any) -> None:
        """Replaces the settings."""
        answer = self.stack.http.put(self._url, json=settings)
        assert answer.status_code == 200, answer.text

    def counts(self) -> dict[str, int]:
        """What was done since the settings were replaced."""
        return self.stack.http.get(self._url).json()["counts"]

    @contextmanager
    def on(self, **settings: Any) -> Iterator[None]:
        """Settings for a while; afterwards nothing goes wrong."""
        self.set(**settings)
        try:
            yield
        finally:
            self.set()
