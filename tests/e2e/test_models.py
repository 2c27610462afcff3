"""A model's life over HTTP: registered by one administrator, approved by another, called, put back, retired."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import openai
import pytest
from boto3.dynamodb.conditions import Key

from functions import Functions
from lives import MODEL, new
from queues import Queue, on_the_bus
from stack import Caller, Stack
from tenants import Tenants
from waiting import until

#: Seconds in which every instance knows the catalogue.
KNOWN_WITHIN = 75
Json = dict[str, Any]


@pytest.fixture
def other_admin(tenants: Tenants) -> Caller:
    """Somebody else who runs the organisation."""
    return tenants.person(tenants.tenant(tenants.lob(), [MODEL]), "org_admin")


@pytest.fixture
def tuned(stack: Stack) -> Iterator[str]:
    """The id of a model that is forgotten after the test, with its price."""
    model = new("tuned")
    yield model
    forget(stack, f"MODEL#{model}", f"PRICE_OVERRIDES#{model}")


def forget(stack: Stack, entry: str, *others: str) -> None:
    """Removes an entry of the catalogue with its versions, and others."""
    tenancy = stack.table("TenancyTableName")
    for item in tenancy.query(KeyConditionExpression=Key("PK").eq(entry))["Items"]:
        tenancy.delete_item(Key={"PK": item["PK"], "SK": item["SK"]})
    for sort_key in (entry, *others):
        tenancy.delete_item(Key={"PK": "CATALOG", "SK": sort_key})


def entry(**more: Any) -> Json:
    """A model that was made from one of the seed's."""
    return {
        "provider_model_id": "amazon.nova-pro-v1:0",
        "protocols": ["converse"],
        "owned_by": "initech",
        "context_window": 8192,
        "max_output_tokens": 1024,
        "default_max_tokens": 256,
        "capabilities": {"sampling_parameters": True},
        "provenance": {"origin": "fine_tuned", "base_model": MODEL, "dataset": "s3://initech/set-7"},
        **more,
    }


def refusal(caller: Caller, model: str) -> str | None:
    """Why a call of the official SDK is refused; nothing if it is served."""
    try:
        caller.openai.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello."}], max_tokens=20)
    except openai.APIStatusError as error:
        assert error.status_code == 404, error
        return str(error.code)
    return None


def priced(admin: Caller, model: str) -> bool:
    """Whether the organisation's price of a model is set: what is priced is registered."""
    ends = (datetime.now(UTC) + timedelta(minutes=10)).replace(microsecond=0).isoformat()
    prices = {"valid_until": ends, "models": {model: {"input": 1_000_000, "output": 2_000_000}}}
    return admin.send("PUT", f"/prices/overrides/{model}", json=prices, headers={"if-match": "*"}).status_code in (200, 201)


def test_a_model_lives(admin: Caller, other_admin: Caller, tenants: Tenants, tuned: str) -> None:
    path = f"/registry/models/{tuned}"
    dry = admin.send("PUT", f"{path}?dry_run=true", json=entry())
    assert (dry.status_code, dry.json()["is_dry_run"]) == (200, True), dry.text
    assert admin.send("GET", path).status_code == 404, "a dry run registers nothing"
    made = admin.send("PUT", path, json=entry(), headers={"if-none-match": "*"})
    assert (made.status_code, made.json()["stage"]) == (201, "draft"), made.text
    shown = admin.send("GET", path).json()
    assert shown["lineage"]["made_from"] == [{"model": tuned, "relation": "base_model", "from": MODEL}]
    until(lambda: priced(admin, tuned), "the model to have a price", KNOWN_WITHIN)
    caller = tenants.tenant(tenants.lob(), [MODEL, tuned])
    assert refusal(caller, tuned) == "model_not_found", "a draft is not there"

    # Not on the word of who wrote it.
    own = admin.send("POST", f"{path}/stage", json={"stage": "approved"}, headers={"if-match": made.headers["etag"]})
    assert (own.status_code, own.json()["error"]["code"]) == (403, "own_entry"), own.text
    approved = other_admin.send("POST", f"{path}/stage", json={"stage": "approved"}, headers={"if-match": made.headers["etag"]})
    assert approved.status_code == 200, approved.text
    until(lambda: refusal(caller, tuned) is None, "the model to be called", KNOWN_WITHIN)

    # What was approved is that model; what else it says can be changed, and put back.
    etag = {"if-match": approved.headers["etag"]}
    swapped = admin.send("PUT", path, json=entry(provider_model_id="amazon.nova-lite-v1:0"), headers=etag)
    assert (swapped.status_code, swapped.json()["error"]["param"]) == (400, "provider_model_id"), swapped.text
    changed = admin.send("PUT", path, json=entry(context_window=4096), headers=etag)
    assert (changed.status_code, changed.json()["version"]) == (200, 3), changed.text
    stale = admin.send("PUT", path, json=entry(context_window=2048), headers=etag)
    assert stale.status_code == 412, stale.text
    back = admin.send("POST", f"{path}/rollback", json={"version": 1}, headers={"if-match": changed.headers["etag"]})
    assert (back.json()["context_window"], back.json()["stage"]) == (8192, "approved"), back.text
    history = admin.send("GET", f"{path}/history").json()["data"]
    assert [version["version"] for version in history] == [4, 3, 2, 1]

    retired = admin.send("POST", f"{path}/stage", json={"stage": "retired"}, headers={"if-match": back.headers["etag"]})
    assert retired.status_code == 200, retired.text
    until(lambda: refusal(caller, tuned) == "model_retired", "the model to be called no more", KNOWN_WITHIN)


def test_a_tenant_asks_for_a_model_and_is_given_it(admin: Caller, tenants: Tenants) -> None:
    wanted = "nova-lite"
    caller = tenants.tenant(tenants.lob(), [MODEL])
    developer, lob_admin = tenants.person(caller, "developer"), tenants.person(caller, "lob_admin")
    path = f"/tenants/{caller.tenant_id}/model-requests"
    assert refusal(developer, wanted) == "model_not_found"
    asked = developer.send("POST", path, json={"model": wanted, "reason": "It answers sooner."})
    assert (asked.status_code, asked.json()["status"]) == (201, "requested"), asked.text
    request = f"{path}/{asked.json()['id']}"
    again = developer.send("POST", path, json={"model": wanted, "reason": "It answers sooner."})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "requested_already"), again.text
    own = developer.send("POST", f"{request}/approve")
    assert own.status_code == 403, own.text
    assert refusal(developer, wanted) == "model_not_found"

    # Several decide at once: one does, and the model is called as soon as instances read the list again.
    deciders = [lob_admin, admin, lob_admin, admin]
    with ThreadPoolExecutor(len(deciders)) as pool:
        answers = list(pool.map(lambda decider: decider.send("POST", f"{request}/approve", json={"note": "For a month."}), deciders))
    assert sorted(answer.status_code for answer in answers)[1:] == [409, 409, 409], [answer.text for answer in answers]
    granted = next(answer for answer in answers if answer.status_code != 409)
    assert (granted.status_code, granted.json()["status"], granted.json()["note"]) == (200, "approved", "For a month."), granted.text
    until(lambda: refusal(developer, wanted) is None, "the model to be called", KNOWN_WITHIN)
    [listed] = developer.send("GET", path).json()["data"]
    assert listed == granted.json()
    history = lob_admin.send("GET", f"/tenants/{caller.tenant_id}/history").json()["data"]
    actions = [(entry["action"], entry["is_allowed"]) for entry in history]
    assert actions == [
        ("model_request.approved", True),
        ("model_request.approved", False),
        ("model_request.requested", True),
    ]

    # What is rejected is not called, and may be asked for again.
    other = developer.send("POST", path, json={"model": "claude-haiku-4-5", "reason": "To compare."}).json()
    rejected = lob_admin.send("POST", f"{path}/{other['id']}/reject", json={"note": "Too dear."})
    assert (rejected.status_code, rejected.json()["status"]) == (200, "rejected"), rejected.text
    assert refusal(developer, "claude-haiku-4-5") == "model_not_found"
    assert lob_admin.send("POST", f"{path}/{other['id']}/approve").json()["error"]["code"] == "already_decided"


@pytest.fixture
def smart(stack: Stack) -> Iterator[str]:
    """The name of an alias that is forgotten after the test."""
    alias = new("smart")
    yield alias
    forget(stack, f"ALIAS#{alias}")


def answering(caller: Caller, alias: str) -> str | None:
    """The model that answers to an alias; nothing if there is none."""
    answer = caller.post_chat({"model": alias, "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 20})
    return answer.headers.get("x-weir-model") if answer.status_code == 200 else None


def test_an_alias_is_deployed_and_rolled_back(admin: Caller, tenants: Tenants, smart: str) -> None:
    caller, path = tenants.tenant(tenants.lob(), [MODEL, "nova-lite"]), f"/registry/aliases/{smart}"
    made = admin.send("PUT", path, json={"steps": [{"targets": [{"model": MODEL}]}]}, headers={"if-none-match": "*"})
    assert (made.status_code, made.json()["version"]) == (201, 1), made.text
    until(lambda: answering(caller, smart) == MODEL, "the alias to be known", KNOWN_WITHIN)

    canary = {"model": "nova-lite", "share": 25}
    shown = admin.send("POST", f"{path}/deploy?dry_run=true", json=canary).json()
    assert shown["steps"] == [{"targets": [{"model": "nova-lite", "weight": 1}, {"model": MODEL, "weight": 3}]}]
    whole = admin.send("POST", f"{path}/deploy", json={"model": "nova-lite"}, headers={"if-match": made.headers["etag"]})
    assert (whole.status_code, whole.json()["version"]) == (200, 2), whole.text
    until(lambda: answering(caller, smart) == "nova-lite", "the new model to answer", KNOWN_WITHIN)
    stale = admin.send("POST", f"{path}/deploy", json=canary, headers={"if-match": made.headers["etag"]})
    assert stale.status_code == 412, stale.text
    back = admin.send("POST", f"{path}/rollback", json={"version": 1}, headers={"if-match": whole.headers["etag"]})
    assert back.status_code == 200, back.text
    until(lambda: answering(caller, smart) == MODEL, "the earlier model to answer", KNOWN_WITHIN)

    gone = admin.send("DELETE", path, headers={"if-match": back.headers["etag"]})
    assert (gone.status_code, gone.json()["deleted"]) == (200, True), gone.text
    until(lambda: refusal(caller, smart) == "model_not_found", "the alias to be gone", KNOWN_WITHIN)
    again = admin.send("PUT", path, json={"steps": [{"targets": [{"model": "nova-lite"}]}]}, headers={"if-none-match": "*"})
    assert (again.status_code, again.json()["version"]) == (201, 4), again.text
    history = admin.send("GET", f"{path}/history").json()["data"]
    assert [version["version"] for version in history] == [4, 3, 2, 1]


@pytest.fixture
def told(stack: Stack) -> Iterator[Queue]:
    """What is on the bus of models."""
    with on_the_bus(stack, "weir.models") as queue:
        yield queue


def test_tenants_are_told_of_the_end_of_a_model_they_call(
    admin: Caller, other_admin: Caller, tenants: Tenants, tuned: str, functions: Functions, told: Queue
) -> None:
    path, days = f"/registry/models/{tuned}", 20
    last = (datetime.now(UTC) + timedelta(days=days)).date().isoformat()
    ends = entry(end_of_life={"retires_on": last, "successor": MODEL, "note": "Version 2 is better."})
    made = admin.send("PUT", path, json=ends, headers={"if-none-match": "*"})
    lob = tenants.lob()
    moving, stuck, other = tenants.tenant(lob, [MODEL, tuned]), tenants.tenant(lob, [tuned]), tenants.tenant(lob, [MODEL])

    def notices() -> dict[str, Json]:
        found = [event for event in told.take() if event["detail"]["model"] == tuned]
        by_tenant = {event["detail"]["tenant_id"]: event for event in found}
        assert len(by_tenant) == len(found), "somebody was told twice"
        return by_tenant

    functions.run_schedule("ModelsFunctionName")
    assert notices() == {}, "a draft is nobody's"
    approved = other_admin.send("POST", f"{path}/stage", json={"stage": "approved"}, headers={"if-match": made.headers["etag"]})
    assert approved.status_code == 200, approved.text
    functions.run_schedule("ModelsFunctionName")
    until(lambda: len(notices()) >= 2, "two tenants to be told")
    functions.run_schedule("ModelsFunctionName")
    found = notices()
    assert set(found) == {moving.tenant_id, stuck.tenant_id} and other.tenant_id not in found
    event = found[moving.tenant_id]
    assert (event["source"], event["detail-type"]) == ("weir.models", "ModelRetiring")
    detail = event["detail"]
    assert (detail["retires_on"], detail["successor"], detail["note"]) == (last, MODEL, "Version 2 is better.")
    assert detail["days_left"] in (days - 1, days) and detail["may_call_successor"] is True
    assert found[stuck.tenant_id]["detail"]["may_call_successor"] is False


def test_what_bedrock_lists_becomes_drafts(stack: Stack, admin: Caller) -> None:
    made: list[str] = []
    try:
        dry = admin.send("POST", "/registry/import?dry_run=true").json()
        assert dry["is_dry_run"] and dry["listed"] > 5 and dry["registered"], dry
        draft = dry["registered"][0]
        assert admin.send("GET", f"/registry/models/{draft}").status_code == 404, "a dry run registers nothing"
        done = admin.send("POST", "/registry/import")
        assert done.status_code == 200, done.text
        made = done.json()["registered"]
        assert (made, done.json()["skipped"]) == (dry["registered"], dry["skipped"])
        # What the seed registered is known by Bedrock's id of it, and stays as it is.
        assert MODEL not in made and MODEL not in done.json()["changed"]
        shown = admin.send("GET", f"/registry/models/{draft}").json()
        assert (shown["stage"], shown["provenance"]["origin"]) == ("draft", "foundation"), shown
        again = admin.send("POST", "/registry/import").json()
        assert (again["registered"], again["changed"]) == ([], [])
    finally:
        for model in made:
            forget(stack, f"MODEL#{model}")
