#!/usr/bin/env python3
"""The money campaign: rounds of a thousand concurrent calls against small limits, while everything goes wrong.

``docs/money.md`` says what a round does and what it shows. On a running stack (``cargo xtask up --detach``):
``.local/venv-tools/bin/python tests/e2e/money_campaign.py --rounds 100``. Exits with 1 if any round had a fault; results so far are
in the result files after every round.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chaos import Chaos, clock_skew_library
from functions import Functions
from money_round import TROUBLE, VICTIMS, Result, Round
from stack import ROOT, Stack


@contextmanager
def turned_clocks(stack: Stack) -> Iterator[None]:
    """Every process of a function has a clock of its own, and afterwards the right one again."""
    chaos = Chaos(stack)
    chaos.set(clock_skew_library=clock_skew_library(), clock_skew_s=TROUBLE["clock_skew_s"])
    _renew_processes(stack)
    try:
        yield
    finally:
        chaos.set()
        _renew_processes(stack)


def _renew_processes(stack: Stack) -> None:
    functions = Functions(stack)
    for output in [*VICTIMS, "AuthorizerFunctionName"]:
        for process in functions.processes(output):
            functions.kill(process["pid"])


def summary(results: list[Result], seconds: float) -> dict[str, Any]:
    """Sums over all rounds."""

    def total(name: str) -> dict[str, int]:
        counts = collections.Counter[str]()
        for result in results:
            counts.update({key: count for key, count in getattr(result, name).items() if not key.startswith("most_")})
        return dict(sorted(counts.items()))

    most: dict[str, float] = {}
    for result in results:
        for name, share in result.most_committed.items():
            most[name] = max(most.get(name, 0), share)
    faults = [f"round {result.seed}: {fault}" for result in results for fault in result.faults]
    skews = [skew for result in results for skew in result.clock_skew_s]
    return {
        "rounds": len(results),
        "rounds_with_faults": sum(bool(result.faults) for result in results),
        "calls": sum(result.calls for result in results),
        "seconds": round(seconds),
        "seconds_per_round": round(seconds / max(len(results), 1), 1),
        "most_calls_under_way": [min(it), max(it)] if (it := [result.most_under_way for result in results]) else [],
        "answers": total("answers"),
        "refusals": total("refusals"),
        "kills": total("kills"),
        "trouble": total("trouble"),
        "clock_skew_s": [min(skews), max(skews)] if skews else [],
        "looks_at_meters": sum(result.looks for result in results),
        "most_committed": dict(sorted(most.items())),
        "swept": total("swept"),
        "books": total("books"),
        "compared": {name: sum(result.compared.get(name, False) for result in results) for name in ("lake", "statement")},
        "overruns": sum("overrun" in fault for fault in faults),
        "lost": sum("lost" in fault for fault in faults),
        "doubled": sum("doubled" in fault for fault in faults),
        "faults": faults,
    }


def markdown(found: dict[str, Any]) -> str:
    """The summary as a table."""

    def text(value: Any) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{name} {count:,}" if isinstance(count, int) else f"{name} {count:.0%}" for name, count in value.items())
        if isinstance(value, list):
            return "; ".join(map(str, value)) or "none"
        return f"{value:,}" if isinstance(value, int) else str(value)

    rows = [f"| {name.replace('_', ' ')} | {text(value)} |" for name, value in found.items()]
    return "\n".join(["| | |", "|---|---|", *rows, ""])


def main() -> int:
    """Runs the campaign as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="how many (100)")
    parser.add_argument("--calls", type=int, default=1000, help="concurrent calls in each (1000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first round; the next have the next (1)")
    parser.add_argument("--out", type=Path, default=ROOT / ".local" / "money", help="where the results go: <out>.json and <out>.md")
    parser.add_argument("--until-fault", action="store_true", help="stop at the first round with a fault")
    options = parser.parse_args()

    stack = Stack.load()
    with turned_clocks(stack):
        results = run(stack, options)
    return int(any(result.faults for result in results))


def run(stack: Stack, options: argparse.Namespace) -> list[Result]:
    """Runs the rounds, and says after each how it went."""
    started = time.monotonic()
    results: list[Result] = []
    for seed in range(options.seed, options.seed + options.rounds):
        try:
            result = Round(stack, seed, options.calls).run()
        except Exception:  # noqa: BLE001: a round that breaks off is a fault, and the next one may not
            result = Result(seed, options.calls, faults=[f"broke off: {traceback.format_exc()}"])
        results.append(result)
        found = summary(results, time.monotonic() - started)
        document = {"summary": found, "rounds": [each.to_json() for each in results]}
        options.out.with_suffix(".json").write_text(json.dumps(document, indent=1), encoding="utf-8")
        options.out.with_suffix(".md").write_text(markdown(found), encoding="utf-8")
        print(line(result), flush=True)
        if result.faults and options.until_fault:
            break
    print(markdown(summary(results, time.monotonic() - started)))
    return results


def line(result: Result) -> str:
    """A round in a line or, with faults, more."""
    head = (
        f"round {result.seed}: {result.took_s} s ({result.calling_s} calling, {result.settling_s} settling), {result.calls} calls, answers {result.answers}, kills {result.kills}, "
        f"{result.books.get('provider_calls')} provider calls, {result.books.get('records')} records "
        f"({result.books.get('records_abandoned', 0)} abandoned), {result.looks} looks, clocks {result.clock_skew_s} s, "
        f"{'ok' if not result.faults else f'{len(result.faults)} FAULTS'}"
    )
    return "\n  ".join([head, *result.faults[:10]])


if __name__ == "__main__":
    sys.exit(main())
