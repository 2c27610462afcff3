"""Drives a running local stack from outside, with official SDKs and coding agents, as several tenants.

``cargo xtask test`` runs it. By hand: bring a stack up with ``cargo xtask up --detach``, then
``.local/venv-clients/bin/python -m pytest tests/e2e`` (``cargo xtask test --only e2e`` makes that environment). ``WEIR_STACK``
names another ``stack.json`` than ``.local/stack.json``; ``WEIR_E2E_ROUNDS`` says how often the budget is attacked
(default 4).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from front import Front, front
from functions import Functions
from ledger import Ledger
from simulator import Simulator
from stack import Caller, Stack
from tenants import Tenants


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The running stack."""
    return Stack.load()


@pytest.fixture(scope="session")
def acme(stack: Stack) -> Caller:
    """A developer of ``acme``."""
    return stack.person("acme", "developer")


@pytest.fixture(scope="session")
def globex(stack: Stack) -> Caller:
    """A program of ``globex``."""
    return stack.machine("globex")


@pytest.fixture(scope="session")
def callers(acme: Caller, globex: Caller) -> dict[str, Caller]:
    """Both, by tenant."""
    return {caller.tenant_id: caller for caller in (acme, globex)}


@pytest.fixture(scope="session")
def ledger(stack: Stack) -> Ledger:
    """The ledger."""
    return Ledger(stack)


@pytest.fixture(scope="session")
def simulator(stack: Stack) -> Simulator:
    """The model simulator."""
    return Simulator(stack)


@pytest.fixture(scope="session")
def functions(stack: Stack) -> Functions:
    """The functions."""
    return Functions(stack)


@pytest.fixture
def tenants(stack: Stack) -> Iterator[Tenants]:
    """Tenants of this test only."""
    tenants = Tenants(stack)
    yield tenants
    tenants.forget()


@pytest.fixture(scope="session")
def plain(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """The gateway, with a note of what it answers."""
    with front(stack.base_url, tmp_path_factory.mktemp("plain"), tls=False) as running:
        yield running


@pytest.fixture(scope="session")
def tls(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """The gateway behind TLS, with a note of what it answers."""
    with front(stack.base_url, tmp_path_factory.mktemp("tls"), tls=True) as running:
        yield running
