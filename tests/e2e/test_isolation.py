"""A tenant never sees, uses or pays for anything of another's, whatever it sends."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from ledger import Ledger
from simulator import Simulator, messages
from stack import Caller, Stack
from tenants import Tenants
from waiting import until

#: Each tenant, a model that is the other's only, and the other.
FOREIGN = [("globex", "claude-sonnet-4-5", "acme"), ("acme", "gpt-oss-20b", "globex")]


@pytest.mark.parametrize(("tenant_id", "model", "other_id"), FOREIGN)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_model_of_the_others_does_not_exist(
    callers: dict[str, Caller],
    ledger: Ledger,
    simulator: Simulator,
    tenant_id: str,
    model: str,
    other_id: str,
    is_streamed: bool,
) -> None:
    caller, other = callers[tenant_id], callers[other_id]
    other.openai.chat.completions.create(model=model, messages=messages())
    before = simulator.last_seq()
    records = len(ledger.records(tenant_id))
    with pytest.raises(openai.NotFoundError) as foreign:
        caller.openai.chat.completions.create(model=model, messages=messages(), stream=is_streamed)
    with pytest.raises(openai.NotFoundError) as unknown:
        caller.openai.chat.completions.create(model="no-such-model", messages=messages(), stream=is_streamed)
    assert isinstance(foreign.value.body, dict)
    assert isinstance(unknown.value.body, dict)
    assert foreign.value.body["message"] == unknown.value.body["message"].replace("no-such-model", model), (
        "a model of the other's must not be told from one that does not exist"
    )
    assert simulator.last_seq() == before, "the provider must not be asked"
    assert len(ledger.records(tenant_id)) == records
    assert model not in {listed.id for listed in caller.openai.models.list()}


@pytest.mark.parametrize(("tenant_id", "other_id"), [("globex", "acme"), ("acme", "globex")])
@pytest.mark.parametrize("model", ["nova-pro", "gpt-oss-120b"])
def test_naming_the_other_tenant_anywhere_has_no_effect(
    callers: dict[str, Caller], ledger: Ledger, simulator: Simulator, tenant_id: str, other_id: str, model: str
) -> None:
    caller, other = callers[tenant_id], callers[other_id]
    own_before, others_before = (ledger.settled_meter(f"TENANT#{name}").settled for name in (tenant_id, other_id))
    claim = {"tenant_id": other_id, "lob_id": other.lob_id, "call_id": "mine"}
    headers = {
        "x-tenant-id": other_id,
        "x-weir-tenant": other_id,
        "tenant_id": other_id,
        "x-lob-id": other.lob_id,
        "x-request-id": "mine",
        "x-amzn-bedrock-request-metadata": json.dumps(claim),
        "openai-organization": other_id,
    }
    body = {
        "model": model,
        "messages": messages(usage={"input": 40, "output": 8}),
        "user": other_id,
        "metadata": claim,
        **claim,
    }
    answer = caller.post_chat(body, headers=headers, params={"tenant_id": other_id})
    assert answer.status_code == 200, answer.text
    call_id = answer.headers["x-request-id"]

    record = ledger.record(caller, call_id)
    assert (record["tenant_id"], record["lob_id"]) == (tenant_id, caller.lob_id)
    assert record["PK"].startswith(f"TENANT#{tenant_id}#USAGE#")
    assert ledger.find(other_id, call_id) is None
    call = simulator.call(call_id, tenant_id)
    assert (call["request_metadata"]["tenant_id"], call["request_metadata"]["lob_id"]) == (tenant_id, caller.lob_id)
    assert call["principal_arn"].endswith(f"/t-{tenant_id}"), "the provider is called as the tenant of the token"
    assert ledger.settled_meter(f"TENANT#{tenant_id}").settled == own_before + record["cost_nanousd"]
    assert ledger.settled_meter(f"TENANT#{other_id}").settled == others_before


def test_every_record_stands_in_its_tenants_partition_and_names_it(callers: dict[str, Caller], ledger: Ledger) -> None:
    seen: dict[str, set[str]] = {}
    for tenant_id, caller in callers.items():
        caller.openai.chat.completions.create(model="nova-lite", messages=messages())
        records = ledger.records(tenant_id)
        assert {record["tenant_id"] for record in records} <= {tenant_id}
        assert {record["lob_id"] for record in records} <= {caller.lob_id}
        seen[tenant_id] = {record["call_id"] for record in records}
    assert not seen["acme"] & seen["globex"]


@pytest.mark.parametrize("tenant_id", ["acme", "globex"])
def test_a_viewer_sees_models_and_calls_none(
    stack: Stack, simulator: Simulator, tenant_id: str, callers: dict[str, Caller]
) -> None:
    viewer = stack.person(tenant_id, "viewer")
    assert [model.id for model in viewer.openai.models.list()] == [
        model.id for model in callers[tenant_id].openai.models.list()
    ]
    before = simulator.last_seq()
    with pytest.raises(openai.PermissionDeniedError, match="role.*call models.*administrator") as raised:
        viewer.openai.chat.completions.create(model="nova-lite", messages=messages())
    assert raised.value.code == "permission_denied"
    assert simulator.last_seq() == before


@pytest.mark.parametrize("tenant_id", ["acme", "globex"])
def test_a_token_that_is_narrowed_to_reading_calls_no_model(
    stack: Stack, callers: dict[str, Caller], tenant_id: str
) -> None:
    token = stack.client_credentials(stack.tenant(tenant_id)["machine_client"], scope="weir/read")
    reader = dataclasses.replace(callers[tenant_id], token=token)
    assert list(reader.openai.models.list())
    with pytest.raises(openai.PermissionDeniedError, match="scopes"):
        reader.openai.chat.completions.create(model="nova-lite", messages=messages())


@pytest.fixture
def newcomer(stack: Stack) -> Iterator[dict[str, str]]:
    """A person in the user pool who is in no tenant yet."""
    cognito, pool = stack.aws("cognito-idp"), stack.outputs["UserPoolId"]
    user = {"username": f"newcomer-{secrets.token_hex(4)}@example.com", "password": f"Aa1-{secrets.token_hex(12)}"}
    cognito.admin_create_user(UserPoolId=pool, Username=user["username"], MessageAction="SUPPRESS")
    cognito.admin_set_user_password(
        UserPoolId=pool, Username=user["username"], Password=user["password"], Permanent=True
    )
    yield user
    cognito.admin_delete_user(UserPoolId=pool, Username=user["username"])


def test_a_person_in_no_tenant_or_in_two_is_denied(stack: Stack, newcomer: dict[str, str], acme: Caller) -> None:
    cognito, pool = stack.aws("cognito-idp"), stack.outputs["UserPoolId"]

    def denied(reason: str) -> None:
        token = stack.sign_in(newcomer["username"], newcomer["password"])["AccessToken"]
        with pytest.raises(openai.PermissionDeniedError, match=reason) as raised:
            dataclasses.replace(acme, token=token).openai.models.list()
        assert raised.value.code == "access_denied"

    denied("not assigned to a tenant")
    for group in ["acme:developer", "globex:developer"]:
        cognito.admin_add_user_to_group(UserPoolId=pool, Username=newcomer["username"], GroupName=group)
    denied("more than one tenant")


@pytest.mark.parametrize("level", ["TENANT", "LOB"])
def test_a_suspension_holds_from_the_next_call_on(
    tenants: Tenants, globex: Caller, simulator: Simulator, level: str
) -> None:
    """Although API Gateway has the authorizer's answer cached for a minute: admission reads the meter's status."""
    lob_id = tenants.lob()
    caller, neighbour = (tenants.tenant(tenants.lob() if level == "TENANT" else lob_id, ["nova-lite"]) for _ in "12")
    scope = caller.scopes[0] if level == "TENANT" else caller.scopes[1]
    create = caller.openai.chat.completions.create
    create(model="nova-lite", messages=messages())
    tenants.change(scope, status="suspended")
    before = simulator.last_seq()
    for is_streamed in (False, True):
        with pytest.raises(openai.PermissionDeniedError, match="suspended") as raised:
            create(model="nova-lite", messages=messages(), stream=is_streamed)
        assert raised.value.code == "suspended"
    assert simulator.calls(before, caller.tenant_id) == []
    if level == "TENANT":
        neighbour.openai.chat.completions.create(model="nova-lite", messages=messages())
    globex.openai.chat.completions.create(model="nova-lite", messages=messages())
    tenants.change(scope, status="active")
    create(model="nova-lite", messages=messages())


def test_a_changed_allowlist_holds_from_the_next_call_on(
    tenants: Tenants, globex: Caller, simulator: Simulator
) -> None:
    caller = tenants.tenant(tenants.lob(), ["nova-lite"])
    create = caller.openai.chat.completions.create

    def listed() -> set[str]:
        return {model.id for model in caller.openai.models.list()}

    create(model="nova-lite", messages=messages())
    with pytest.raises(openai.NotFoundError):
        create(model="gpt-oss-20b", messages=messages())

    tenants.change(caller.scopes[0], models=["gpt-oss-20b"])
    before = simulator.last_seq()
    with pytest.raises(openai.NotFoundError):
        create(model="nova-lite", messages=messages())
    assert simulator.calls(before, caller.tenant_id) == []
    completion = create(model="gpt-oss-20b", messages=messages())
    assert simulator.call(str(completion._request_id), caller.tenant_id)["status"] == 200
    globex.openai.chat.completions.create(model="nova-lite", messages=messages())
    # The list may be a second old.
    until(lambda: listed() == {"gpt-oss-20b"}, "the new list of models", 5)


def test_the_tenants_answers_do_not_mix_at_the_same_time(callers: dict[str, Caller]) -> None:
    """Both stream at once through the same function; each reads its own words only."""

    def words(name: str) -> list[str]:
        return [f"{name}-{index} " for index in range(6)]

    def start(caller: Caller) -> Any:
        script = messages(chunks=words(caller.tenant_id), chunk_delay_ms=60)
        return caller.openai.chat.completions.create(model="nova-pro", messages=script, stream=True)

    streams = {tenant_id: start(caller) for tenant_id, caller in callers.items()}
    for tenant_id, stream in streams.items():
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert text == "".join(words(tenant_id))


def test_a_project_is_looked_for_in_the_callers_tenant_only(tenants: Tenants, ledger: Ledger) -> None:
    caller, other = (tenants.tenant(tenants.lob(), ["nova-lite"]) for _ in "12")
    tenants.change(other.scopes[0], projects={"shop": {"tags": {"cost-center": "42"}}})
    body = {"model": "nova-lite", "messages": messages()}
    for name in ("openai-project", "x-weir-project"):
        for project in ("shop", other.tenant_id, "../shop"):
            answer = caller.post_chat(body, headers={name: project})
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "project_not_found")
    own = other.post_chat(body, headers={"openai-project": "shop"})
    assert own.status_code == 200, own.text
    record = ledger.record(other, own.headers["x-request-id"])
    assert (record["project_id"], record["tags"]) == ("shop", {"cost-center": "42"})
