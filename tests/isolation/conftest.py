"""Isolation, shown by walking the API's document: on a running local stack, with what drives it in ``tests/e2e``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from stack import Stack  # noqa: E402
from tenants import Tenants  # noqa: E402


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The running stack."""
    return Stack.load()


@pytest.fixture(scope="session")
def tenants(stack: Stack) -> Iterator[Tenants]:
    """Tenants of these tests only."""
    tenants = Tenants(stack)
    yield tenants
    tenants.forget()
