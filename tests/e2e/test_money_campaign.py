"""A few small rounds of the money campaign; ``money_campaign.py`` runs a hundred of a thousand calls each."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from money_campaign import line, turned_clocks
from money_round import Round
from stack import Stack

ROUNDS = int(os.environ.get("WEIR_E2E_ROUNDS") or 3)
CALLS = 300


@pytest.fixture(scope="module")
def turned(stack: Stack) -> Iterator[None]:
    """Clocks are wrong meanwhile, and right again for the tests that follow."""
    with turned_clocks(stack):
        yield


@pytest.mark.usefixtures("turned")
@pytest.mark.parametrize("seed", range(1, ROUNDS + 1))
def test_no_overrun_nothing_lost_nothing_doubled(stack: Stack, capsys: pytest.CaptureFixture[str], seed: int) -> None:
    result = Round(stack, seed, CALLS).run()
    with capsys.disabled():
        print("\n" + line(result))
    assert result.faults == []
    assert result.books["provider_calls"] > 0
    assert result.kills, "nothing was killed"
    assert result.trouble.get("throttled_in_burst", 0) + result.trouble.get("throttled", 0) > 0, "nothing was throttled"
    assert max(result.most_committed.values()) > 0.9, "no limit was in the way of anybody"
