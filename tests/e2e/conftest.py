"""Drives a running local stack from outside, with official SDKs and coding agents, as several tenants.

``cargo xtask test`` runs it. By hand: bring a stack up with ``cargo xtask up --detach``, then
``.local/venv-clients/bin/python -m pytest tests/e2e`` (``cargo xtask test --only e2e`` makes that environment). ``WEIR_STACK``
names another ``stack.json`` than ``.local/stack.json``; ``WEIR_E2E_ROUNDS`` says how often the budget is attacked
(default 4).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator

import pytest

from aws_callers import Role
from front import Front, front
from functions import Functions
from ledger import Ledger
from lives import Made, make_lob
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


@pytest.fixture(scope="session")
def admin(stack: Stack) -> Caller:
    """Somebody who runs the organisation."""
    return stack.person("globex", "org_admin")


@pytest.fixture
def made(stack: Stack) -> Iterator[Made]:
    """Takes notes of what is made."""
    made = Made(stack)
    yield made
    made.forget()


@pytest.fixture
def lob(admin: Caller, made: Made) -> str:
    """A line of business of this test."""
    return make_lob(admin, made)


@pytest.fixture
def make_role(stack: Stack) -> Iterator[Callable[..., Role]]:
    """Makes roles, registers them for a tenant if one is given, and forgets both."""
    iam, table = stack.aws("iam"), stack.table("TenancyTableName")
    account = stack.outputs["TenantAccessRoleArn"].split(":")[4]
    made: list[str] = []

    def make(tenant_id: str | None = None, **registration: str) -> Role:
        name = f"weir-e2e-{secrets.token_hex(4)}"
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}],
        }
        # A path, which the ARNs of sessions do not have.
        role = iam.create_role(RoleName=name, Path="/team/", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        made.append(name)
        if tenant_id:
            key = {"PK": f"AWSROLE#{account}:{name}", "SK": "META"}
            table.put_item(Item={**key, "account_id": account, "role_name": name, "tenant_id": tenant_id, **registration})
        session = stack.aws("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="someone@example.com")
        return Role(name, role["RoleId"], session["Credentials"])

    yield make
    for name in made:
        table.delete_item(Key={"PK": f"AWSROLE#{account}:{name}", "SK": "META"})
        iam.delete_role(RoleName=name)
