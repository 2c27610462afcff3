"""Aliases on the deployed stack: which target answers, what follows a failure, and what is kept of an answer.

Failures are scripted in the prompts themselves, for one target each, so that nobody else's calls meet them. Targets are
copies of the seed's models: an open breaker of one concerns no other test.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from catalog import SEEDED, Catalog
from ledger import Ledger
from simulator import Simulator, script
from stack import Caller, Stack
from tenants import Tenants
from waiting import until

Json = dict[str, Any]

#: Both are called by Converse.
FIRST, SECOND = "nova-pro", "nova-lite"
COPIES = 36
#: One call of each target, and no time lost in between.
ONCE = {"max_attempts": 4, "max_attempts_per_target": 1, "backoff_ms": 1, "max_backoff_ms": 2000, "deadline_ms": 60000}


@dataclass
class Targets:
    """Models that nobody has called yet."""

    catalog: Catalog
    names: dict[str, list[str]] = field(default_factory=dict)

    def new(self, seeded: str) -> str:
        """One that differs from a seeded one by its name only."""
        return self.names[seeded].pop()

    def pair(self) -> tuple[str, str]:
        """Two that the provider tells apart."""
        return self.new(FIRST), self.new(SECOND)


@pytest.fixture(scope="module")
def targets(stack: Stack) -> Iterator[Targets]:
    """The targets of this module."""
    catalog = Catalog(stack)
    yield Targets(catalog, catalog.copies({FIRST: COPIES, SECOND: COPIES}))
    catalog.forget()


def alias(name: str, *steps: str | dict[str, int], **more: Any) -> Json:
    """An alias: each step one model, or several by weight."""
    weighted = [step if isinstance(step, dict) else {step: 1} for step in steps]
    targets = [[{"model": model, "weight": weight} for model, weight in step.items()] for step in weighted]
    return {
        "name": name,
        "steps": [{"targets": step} for step in targets],
        "retry": ONCE,
        **more,
    }


def tenant_of(tenants: Tenants, models: tuple[str, ...], *aliases: Json, **more: Any) -> Caller:
    """A tenant with these models and own aliases."""
    return tenants.tenant(tenants.lob(), list(models), aliases=aliases, **more)


def ask(
    caller: Caller, model: str, text: str = "Hello.", *, stream: bool = False, headers: dict[str, str] | None = None
) -> httpx2.Response:
    """The answer to one turn."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}
    return caller.post_chat(body, headers=headers or {})


def failing(seeded: str, fault: Json, **directive: Any) -> str:
    """A text that nobody said before, for which one target fails."""
    model = SEEDED[seeded]["provider_model_id"]
    return script(uuid.uuid4().hex, faults={model: fault}, **directive)


def answered_by(answer: httpx2.Response) -> tuple[str, int]:
    """Which model answered, at which attempt."""
    assert answer.status_code == 200, answer.text
    return answer.headers["x-weir-model"], int(answer.headers["x-weir-attempts"])


def said(answer: httpx2.Response) -> tuple[str, Json | None]:
    """What a stream says, and its error."""
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    chunks = [json.loads(event) for event in events]
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", []))
    return text, next((chunk["error"] for chunk in chunks if "error" in chunk), None)


def asked_models(simulator: Simulator, caller: Caller, since: int) -> list[str]:
    """What a tenant's calls asked for, as the provider calls it."""
    return [call["model"] for call in simulator.calls(since, caller.tenant_id)]


def in_order(*seeded: str) -> list[str]:
    """Seeded models, as the provider calls them."""
    return [SEEDED[name]["provider_model_id"] for name in seeded]


def test_a_canary_gets_its_share(tenants: Tenants, targets: Targets) -> None:
    most, canary = targets.pair()
    caller = tenant_of(tenants, (most, canary), alias("canary", {most: 90, canary: 10}))
    with ThreadPoolExecutor(4) as pool:
        counts = Counter(pool.map(lambda _: answered_by(ask(caller, "canary")), range(100)))
    assert set(counts) == {(most, 1), (canary, 1)}
    # 10 expected, the standard deviation is 3: less than 1 or more than 30 come once in 30,000 runs.
    assert 1 <= counts[canary, 1] <= 30


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        {"error": {"status": 503}},
        {"error": {"status": 429}},
        {"error": {"status": 500}},
        {"error": {"exception": "ModelTimeoutException"}},
        {"cut_before_head": True},
    ],
    ids=["503", "429", "500", "timeout", "cut"],
)
def test_the_next_target_answers(
    tenants: Tenants, targets: Targets, simulator: Simulator, ledger: Ledger, fault: Json, is_streamed: bool
) -> None:
    first, second = targets.pair()
    caller = tenant_of(tenants, (first, second), alias("resilient", first, second))
    before = simulator.last_seq()
    answer = ask(caller, "resilient", failing(FIRST, fault, text="all is well"), stream=is_streamed)
    assert answered_by(answer) == (second, 2)
    if is_streamed:
        assert said(answer) == ("all is well", None)
    else:
        assert answer.json()["choices"][0]["message"]["content"] == "all is well"
        assert answer.json()["model"] == "resilient"
    assert asked_models(simulator, caller, before) == in_order(FIRST, SECOND)

    call_id = answer.headers["x-request-id"]
    ledger.record(caller, call_id)
    failed, completed = (
        until(lambda attempt=attempt: ledger.find(caller.tenant_id, call_id, attempt), f"record {attempt} of {call_id}")
        for attempt in (1, 2)
    )
    assert (failed["model"], completed["model"]) == (first, second)
    assert failed["outcome"] in ("refused", "failed")
    assert completed["outcome"] == "completed"
    assert {record["requested_model"] for record in (failed, completed)} == {"resilient"}
    assert {record["route"] for record in (failed, completed)} == {"resilient"}


@pytest.mark.parametrize(
    "fault",
    [
        {"cut_after_chunks": 0},
        {"cut_after_chunks": 0, "skip_opening": True},
        {"error_after_chunks": 0},
        {"garbage_after_chunks": 0},
    ],
    ids=["cut", "cut-at-once", "error", "garbage"],
)
def test_a_stream_without_content_moves_on(
    tenants: Tenants, targets: Targets, simulator: Simulator, fault: Json
) -> None:
    """The provider said 200 already."""
    first, second = targets.pair()
    caller = tenant_of(tenants, (first, second), alias("resilient", first, second))
    before = simulator.last_seq()
    answer = ask(caller, "resilient", failing(FIRST, fault, text="all is well"), stream=True)
    assert answered_by(answer) == (second, 2)
    assert said(answer) == ("all is well", None)
    assert answer.text.count('"role":"assistant"') == 1, "nothing is sent of an answer that did not begin"
    assert asked_models(simulator, caller, before) == in_order(FIRST, SECOND)


def test_a_stream_with_content_does_not(tenants: Tenants, targets: Targets, simulator: Simulator) -> None:
    first, second = targets.pair()
    caller = tenant_of(tenants, (first, second), alias("resilient", first, second))
    before = simulator.last_seq()
    text = failing(FIRST, {"chunks": ["one ", "two ", "three"], "cut_after_chunks": 1})
    answer = ask(caller, "resilient", text, stream=True)
    assert answered_by(answer) == (first, 1)
    words, error = said(answer)
    assert words == "one "
    assert error
    assert "[DONE]" not in answer.text
    assert asked_models(simulator, caller, before) == in_order(FIRST)


def test_a_request_that_is_wrong_is_wrong_everywhere(tenants: Tenants, targets: Targets, simulator: Simulator) -> None:
    first, second = targets.pair()
    caller = tenant_of(tenants, (first, second), alias("resilient", first, second))
    before = simulator.last_seq()
    answer = ask(caller, "resilient", failing(FIRST, {"error": {"exception": "ValidationException"}}))
    assert answer.status_code == 400, answer.text
    assert asked_models(simulator, caller, before) == in_order(FIRST)


def test_when_all_fail_the_last_says_why(tenants: Tenants, targets: Targets, simulator: Simulator) -> None:
    first, second = targets.pair()
    caller = tenant_of(tenants, (first, second), alias("resilient", first, second))
    before = simulator.last_seq()
    text = script(uuid.uuid4().hex, error={"status": 503})
    answer = ask(caller, "resilient", text)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "provider_unavailable")
    assert asked_models(simulator, caller, before) == in_order(FIRST, SECOND)


def test_a_moments_failure_is_tried_again(tenants: Tenants, targets: Targets, simulator: Simulator) -> None:
    first, second = targets.pair()
    retry = {**ONCE, "max_attempts_per_target": 2}
    caller = tenant_of(tenants, (first, second), alias("resilient", first, second, retry=retry))
    before = simulator.last_seq()
    text = failing(FIRST, {"error": {"status": 503}, "times": 1})
    assert answered_by(ask(caller, "resilient", text)) == (first, 2)
    text = failing(FIRST, {"error": {"status": 503}})
    assert answered_by(ask(caller, "resilient", text)) == (second, 3)
    assert asked_models(simulator, caller, before) == in_order(FIRST, FIRST, FIRST, FIRST, SECOND)


def test_retry_after_is_waited_for_if_it_is_short(tenants: Tenants, targets: Targets, simulator: Simulator) -> None:
    only = targets.new(FIRST)
    retry = {**ONCE, "max_attempts_per_target": 2}
    caller = tenant_of(tenants, (only,), alias("patient", only, retry=retry))
    before = simulator.last_seq()
    text = failing(FIRST, {"error": {"status": 429, "retry_after": 1}, "times": 1})
    assert answered_by(ask(caller, "patient", text)) == (only, 2)
    refused, answered = simulator.calls(before, caller.tenant_id)
    assert answered["started_ms"] - refused["started_ms"] >= 1000


def health(ledger: Ledger, model: str) -> Json | None:
    """What the instances told each other of a target."""
    key = {"PK": "HEALTH", "SK": f"TARGET#{model}"}
    return ledger.table.get_item(Key=key, ConsistentRead=True).get("Item")


def test_a_target_that_wants_to_be_left_alone_is_left_by_all(
    tenants: Tenants, targets: Targets, ledger: Ledger
) -> None:
    first, second = targets.pair()
    retry = {**ONCE, "max_attempts_per_target": 2}
    caller = tenant_of(tenants, (first, second), alias("resilient", first, second, retry=retry))
    now_ms = time.time() * 1000
    text = failing(FIRST, {"error": {"status": 429, "retry_after": 60}, "times": 1})
    assert answered_by(ask(caller, "resilient", text)) == (second, 2), "a minute is not waited for"
    told = until(lambda: health(ledger, first), "the other instances to be told")
    assert 50_000 <= int(told["open_until_ms"]) - now_ms <= 90_000
    assert told["expires_at"] * 1000 > told["open_until_ms"]
    until(lambda: left_alone(caller, "resilient", second), "the others to leave it alone")


def test_three_failures_in_a_row_are_enough(tenants: Tenants, targets: Targets, ledger: Ledger) -> None:
    first, second = targets.pair()
    retry = {**ONCE, "max_attempts_per_target": 3}
    caller = tenant_of(tenants, (first, second), alias("resilient", first, second, retry=retry))
    assert answered_by(ask(caller, "resilient", failing(FIRST, {"error": {"status": 503}}))) == (second, 4)
    assert until(lambda: health(ledger, first), "the other instances to be told")


def test_what_another_instance_found_is_believed(tenants: Tenants, targets: Targets, ledger: Ledger) -> None:
    first, second = targets.pair()
    caller = tenant_of(tenants, (first, second), alias("resilient", first, second))
    assert answered_by(ask(caller, "resilient")) == (first, 1)
    now_s = int(time.time())
    item = {"open_until_ms": (now_s + 60) * 1000, "expires_at": now_s + 3660}
    ledger.table.put_item(Item={"PK": "HEALTH", "SK": f"TARGET#{first}", **item})
    until(lambda: left_alone(caller, "resilient", second), "the instances to learn of it")


def left_alone(caller: Caller, name: str, model: str) -> bool:
    """Whether several calls at once all go to ``model`` and to no other before.

    Before it, they would be denied access, which says nothing of a target's health: only what this instance was told,
    or knew, can keep it from asking.
    """
    denied = {"error": {"exception": "AccessDeniedException"}}
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: answered_by(ask(caller, name, failing(FIRST, denied))), range(8)))
    return found == {(model, 1)}


def test_a_conversation_stays_with_its_target(tenants: Tenants, targets: Targets) -> None:
    pair = targets.pair()
    sticky = alias("sticky", dict.fromkeys(pair, 1), has_affinity=True)
    caller = tenant_of(tenants, pair, sticky)
    met = set()
    for number in range(20):
        # Each side is missed by all 20 once in 500,000 runs.
        opening = {"role": "user", "content": f"Conversation {number}."}
        later = [opening, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Go on."}]
        turns = [[opening], later][: 2 if number < 6 else 1]
        models = {
            answered_by(caller.post_chat({"model": "sticky", "messages": messages})) for messages in turns
        }
        assert len(models) == 1, "all turns meet the same target"
        met |= models
    assert met == {(model, 1) for model in pair}


@pytest.mark.parametrize("header", ["x-weir-session", "x-claude-code-session-id", "session_id"])
def test_a_session_stays_with_its_target(tenants: Tenants, targets: Targets, header: str) -> None:
    """Whatever is said in it: by chance, 12 calls would meet one target once in 2,000 runs."""
    pair = targets.pair()
    caller = tenant_of(tenants, pair, alias("sticky", dict.fromkeys(pair, 1), has_affinity=True))
    texts = [uuid.uuid4().hex for _ in range(12)]
    assert len({answered_by(ask(caller, "sticky", text, headers={header: "one"})) for text in texts}) == 1


def test_a_tenants_own_alias_hides_the_organisations(tenants: Tenants, targets: Targets, stack: Stack) -> None:
    first, second = targets.pair()
    catalog, name = Catalog(stack), f"shared-{uuid.uuid4().hex[:8]}"
    try:
        shared_only = targets.new(FIRST)
        catalog.add([], {}, [alias(name, shared_only)])
        own = tenant_of(tenants, (shared_only, second), alias(name, second))
        other = tenant_of(tenants, (shared_only, second))
        assert answered_by(ask(own, name)) == (second, 1)
        assert answered_by(ask(other, name)) == (shared_only, 1)
        hidden = tenant_of(tenants, (first, second), alias(first, second))
        assert answered_by(ask(hidden, first)) == (second, 1), "an alias hides a model of its name"
    finally:
        catalog.forget()


def test_an_alias_gives_no_right_to_a_model(tenants: Tenants, targets: Targets, simulator: Simulator) -> None:
    forbidden, allowed = targets.pair()
    aliases = [alias("both", forbidden, allowed), alias("one", forbidden)]
    caller = tenant_of(tenants, (allowed,), *aliases)
    before = simulator.last_seq()
    assert answered_by(ask(caller, "both")) == (allowed, 1)
    answer = ask(caller, "one")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert asked_models(simulator, caller, before) == in_order(SECOND)
    listed = {model["id"] for model in caller.send("GET", "/models").json()["data"]}
    assert {"both", allowed} <= listed
    assert not {"one", forbidden} & listed


@pytest.mark.parametrize("is_streamed", [False, True])
def test_the_response_cache_answers_the_same_tenant_only(
    tenants: Tenants, simulator: Simulator, ledger: Ledger, is_streamed: bool
) -> None:
    settings = {"response_cache": {"ttl_s": 300}}
    caller, other = (tenant_of(tenants, (FIRST,), settings=settings) for _ in range(2))
    without = tenant_of(tenants, (FIRST,))
    text = f"Say {uuid.uuid4().hex}."

    def cached(by: Caller, said: str | None = None) -> tuple[httpx2.Response, str | None, int]:
        before = simulator.last_seq()
        answer = ask(by, FIRST, text, stream=is_streamed, headers={"x-weir-cache": said} if said else {})
        assert answer.status_code == 200, answer.text
        return answer, answer.headers.get("x-weir-cache"), len(simulator.calls(before, by.tenant_id))

    miss, *what = cached(caller)
    assert what == ["miss", 1]
    hit, *what = cached(caller)
    assert what == ["hit", 0]
    assert (hit.content, hit.headers["content-type"]) == (miss.content, miss.headers["content-type"])
    assert answered_by(hit) == (FIRST, 0)
    record = ledger.record(caller, hit.headers["x-request-id"])
    assert (record["is_cache_hit"], record["cost_nanousd"], record["outcome"]) == (True, 0, "completed")
    assert not any(record["usage"].values())
    assert not ledger.record(caller, miss.headers["x-request-id"])["is_cache_hit"]

    assert cached(other)[1:] == ("miss", 1), "what one tenant asked, another does not get"
    assert cached(caller, "no-store")[1:] == (None, 1)
    assert cached(caller, "refresh")[1:] == ("miss", 1)
    assert cached(caller)[1:] == ("hit", 0)
    assert cached(without)[1:] == (None, 1)
    assert cached(without, "use")[1:] == ("miss", 1)
    assert cached(without, "use")[1:] == ("hit", 0)
    answer = ask(caller, FIRST, text, headers={"x-weir-cache": "perhaps"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_header")


def test_a_failed_answer_is_not_cached(tenants: Tenants, simulator: Simulator) -> None:
    caller = tenant_of(tenants, (FIRST,), settings={"response_cache": {"ttl_s": 300}})
    text = failing(FIRST, {"error_after_chunks": 1, "times": 1}, text="all is well")
    assert said(ask(caller, FIRST, text, stream=True))[1]
    before = simulator.last_seq()
    assert said(ask(caller, FIRST, text, stream=True)) == ("all is well", None)
    assert len(simulator.calls(before, caller.tenant_id)) == 1


def respond(caller: Caller, text: str, **more: Any) -> httpx2.Response:
    """A response."""
    return caller.send("POST", "/responses", json={"model": "gpt-oss-120b", "input": text, **more})


def stored(stack: Stack, caller: Caller, response_id: str) -> Json | None:
    """What the content table has of a response."""
    key = {"PK": f"TENANT#{caller.tenant_id}", "SK": f"RESPONSE#{response_id}#0"}
    return stack.table("ContentTableName").get_item(Key=key, ConsistentRead=True).get("Item")


@pytest.mark.parametrize("days", [7, None])
def test_a_response_is_kept_as_long_as_the_tenant_says(tenants: Tenants, stack: Stack, days: int | None) -> None:
    settings = {"stored_responses_days": days} if days else None
    caller = tenant_of(tenants, ("gpt-oss-120b",), settings=settings)
    answer = respond(caller, "Hello.")
    assert answer.status_code == 200, answer.text
    item = stored(stack, caller, answer.json()["id"])
    assert item
    kept_s = int(item["expires_at"]) - time.time()
    assert (days or 30) * 86_400 - 120 < kept_s <= (days or 30) * 86_400 + 120
    assert caller.send("GET", f"/responses/{answer.json()['id']}").json()["id"] == answer.json()["id"]


def test_what_is_not_to_be_kept_is_not(tenants: Tenants, stack: Stack) -> None:
    never = tenant_of(tenants, ("gpt-oss-120b",), settings={"stored_responses_days": 0})
    usually = tenant_of(tenants, ("gpt-oss-120b",))
    for caller, more in [(never, {}), (usually, {"store": False})]:
        response_id = respond(caller, "Hello.", **more).json()["id"]
        assert stored(stack, caller, response_id) is None
        assert caller.send("GET", f"/responses/{response_id}").status_code == 404


def test_a_turn_goes_on_from_a_response_of_the_same_tenant_only(
    tenants: Tenants, simulator: Simulator
) -> None:
    caller, other = (tenant_of(tenants, ("gpt-oss-120b",)) for _ in range(2))
    secret = uuid.uuid4().hex
    first = respond(caller, f"Remember {secret}.")
    before = simulator.last_seq()
    later = respond(caller, "Go on.", previous_response_id=first.json()["id"])
    assert later.status_code == 200, later.text
    (call,) = simulator.calls(before, caller.tenant_id)
    assert secret in json.dumps(call["request_body"])
    before = simulator.last_seq()
    stolen = respond(other, "Go on.", previous_response_id=first.json()["id"])
    assert (stolen.status_code, stolen.json()["error"]["code"]) == (400, "previous_response_not_found")
    assert simulator.calls(before, other.tenant_id) == []
