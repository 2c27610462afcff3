"""Tasks whose functions are killed in the middle of everything that they do: they end complete, or nothing is left of them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx2
import pytest
from boto3.dynamodb.conditions import Key

from chaos import Chaos
from functions import Functions
from lives import MODEL, Made, beneath, finish_notes, groups_of, make_lob, new, picture, succeeds
from queues import Queue, on_the_bus
from stack import Caller, Stack
from task_kills import OFTEN_S, SLOWLY, Step, StepKiller, killed_while
from tasks import Tasks, ask, begin, copied, ended, machine_of, nothing_is_left, pictured, states, verify, wanted
from waiting import until

Json = dict[str, Any]
HTTP, STEPS = "OrchestratorFunctionName", "OrchestratorStepFunctionName"
KINDS = ["onboard", "move", "offboard"]
#: Steps in which to call a task off: the ones after which nothing can be taken back, and one that is cut while people leave.
CHANCES = [("onboard", "activate"), ("move", "confirm"), ("offboard", "inventory"), ("offboard", "revoke")]
#: Where an off-boarding waits until API Gateway has forgotten who was let in.
DRAIN = ("on", "drain")
FORGOTTEN_AFTER = timedelta(seconds=75)
#: What each kind tells, and how what it tells is named.
TELLS = {"onboard": ("TenantOnboarded", "tenant-onboarded"), "move": ("TenantMoved", "tenant-moved")}
#: A task is lost when nobody was at it for so long.
LOST_AFTER = timedelta(minutes=31)
#: Tasks in which each step is killed at the latest.
ROUNDS = 4
#: Seconds for one such task. An off-boarding waits for a draft and for the audit trail.
WITHIN = {"onboard": 90, "move": 90, "offboard": 180}


@pytest.fixture(scope="module")
def bus(stack: Stack) -> Iterator[Queue]:
    """What is on the bus of tenants."""
    with on_the_bus(stack, "weir.tenants") as queue:
        yield queue


@pytest.fixture(scope="module")
def tasks(stack: Stack) -> Tasks:
    """Tasks beneath the API."""
    return Tasks(stack)


@pytest.fixture
def chaos(stack: Stack) -> Iterator[Chaos]:
    """Makes functions slow; afterwards they are not."""
    chaos = Chaos(stack)
    yield chaos
    chaos.set()


def document(made: Made, lob: str) -> Json:
    """A tenant with several of everything that comes one by one."""
    body = wanted(made, lob, clients=[{"name": "Daily"}, {"name": "Nightly"}])
    more = [f"{name}-{body['users'][0]['email']}" for name in ("second", "third")]
    made.people += more
    body["users"] += [{"email": address, "roles": ["viewer"]} for address in more]
    return body | {"aws_roles": [{"account_id": "111122223333", "role_name": new("role")} for _ in range(2)]}


@dataclass
class Subject:
    """A task to be asked for, and its tenant as it was."""

    body: Json
    before: Json
    made_by: str | None = None

    @classmethod
    def of(cls, kind: str, stack: Stack, admin: Caller, made: Made, lob: str) -> Subject:
        """A task of a kind, with a tenant of its own unless it makes one."""
        body = document(made, lob)
        if kind == "onboard":
            return cls(body, pictured(body))
        tenant, made_by = body["tenant_id"], begin(admin, body)
        task = ended(admin, made_by)
        assert task["state"] == "succeeded"
        if kind == "offboard":
            # Something to be billed, and something to be deleted.
            machine = machine_of(stack, admin, task)
            assert machine.openai.responses.create(model=MODEL, input="Remember this.", max_output_tokens=20).id
        to = {"lob_id": make_lob(admin, made)} if kind == "move" else {}
        return cls({"kind": kind, "tenant_id": tenant, **to}, picture(stack, admin, tenant), made_by)

    @property
    def kind(self) -> str:
        """What it does."""
        return self.body["kind"]

    @property
    def tenant(self) -> str:
        """With which tenant."""
        return self.body["tenant_id"]


def is_told(bus: Queue, subject: Subject, task: Json) -> None:
    """Whoever listens was told of what was done, and of nothing else; however often that was tried, by one name."""
    done = {"onboard": subject.made_by}
    if task["state"] == "succeeded":
        done[subject.kind] = task["task_id"]
    told = [(*TELLS[kind], task_id) for kind, task_id in done.items() if kind in TELLS and task_id]
    events = {(event, f"{name}:{task_id}") for event, name, task_id in told}

    def heard() -> set[tuple[str, str]]:
        own = [event for event in bus.take() if event["detail"].get("tenant_id") == subject.tenant]
        return {(event["detail-type"], event["detail"]["event_id"]) for event in own}

    until(lambda: heard() >= events, "what was told to be heard")
    assert heard() == events


def is_over(tasks: Tasks, admin: Caller, body: Json, task: Json) -> None:
    """One task was asked for, one execution has done it, and nothing of the tenant is locked any more."""
    task_id = task["task_id"]
    listed = admin.send("GET", f"/tasks?lob_id={task['lob_id']}&tenant_id={body['tenant_id']}&limit=100").json()["data"]
    assert [it["task_id"] for it in listed if it["kind"] == body["kind"]] == [task_id], listed
    until(lambda: tasks.runs(task_id) == {"0": "SUCCEEDED"}, "its execution to end")
    assert tasks.of(body["tenant_id"]) is None


def forget_callers(tasks: Tasks, step: Step, task: Json) -> bool:
    """In the drain, lets the last caller be gone for long: nobody calls any more, so nobody has to be forgotten."""
    if step != DRAIN:
        return True
    bucket, key = tasks.stack.outputs["StatementsBucketName"], f"{tasks.folder(task)}working/taken.json"
    taken = json.load(tasks.s3.get_object(Bucket=bucket, Key=key)["Body"])
    taken["revoked_at"] = (datetime.now(timezone.utc) - FORGOTTEN_AFTER).strftime("%Y-%m-%dT%H:%M:%SZ")
    tasks.s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(taken).encode(), ContentType="application/json")
    return True


def is_somebody_leaving(stack: Stack, tenant_id: str) -> bool:
    """Whether it is noted that a person is to leave a tenant who is still in it."""
    of_people = Key("PK").eq("UNFINISHED") & Key("SK").begins_with(f"tenants/{tenant_id}/users/")
    notes = stack.table("TenancyTableName").query(KeyConditionExpression=of_people, ConsistentRead=True)["Items"]
    return any(groups_of(stack, note["SK"].rpartition("/")[2]) for note in notes)


def is_gone(stack: Stack, admin: Caller, tasks: Tasks, task: Json, folder: Path) -> None:
    """Of a tenant there is what is to be kept, and evidence of that."""
    tenant = task["tenant_id"]
    assert admin.send("GET", f"/tenants/{tenant}").status_code == 404
    found = beneath(stack, tenant)
    assert found == {**{name: [] for name in found}, "items": ["TOMBSTONE"]}
    assert [name for name in tasks.papers(task) if name.startswith("working/")] == []
    pack = admin.send("GET", f"/tasks/{task['task_id']}/evidence").json()
    assert copied(stack, task["output"]["evidence"], folder).joinpath("evidence.json").read_text() == pack["evidence"]
    code, said = verify(folder, "--live", "--endpoint-url", stack.aws_url)
    assert (code, "whole" in said) == (0, True), said


@pytest.mark.parametrize("kind", KINDS)
def test_killed_in_each_step_it_ends_complete(
    stack: Stack,
    admin: Caller,
    made: Made,
    lob: str,
    tasks: Tasks,
    bus: Queue,
    tmp_path: Path,
    kind: str,
) -> None:
    killer = StepKiller(stack, before=lambda step, task: forget_callers(tasks, step, task), always=frozenset({DRAIN}))
    every: set[Step] = set()
    for number in range(ROUNDS):
        subject = Subject.of(kind, stack, admin, made, lob)
        task = killer.watch(lambda body=subject.body: begin(admin, body), lambda step: True, WITHIN[kind])
        assert (task["state"], set(states(task).values())) == ("succeeded", {"done"}), task
        if kind == "offboard":
            folder = tmp_path / str(number)
            folder.mkdir()
            is_gone(stack, admin, tasks, task, folder)
        else:
            to = {"lob_id": subject.body["lob_id"]} if kind == "move" else {}
            assert picture(stack, admin, subject.tenant) == subject.before | to
        is_told(bus, subject, task)
        is_over(tasks, admin, subject.body, task)
        every = {("on", name) for name in states(task)}
        if killer.killed == every:
            break
    print(f"{kind}: killed in {sorted(killer.killed)}, {number + 1} tasks")
    assert killer.killed == every


@pytest.mark.parametrize(("kind", "called_off_in"), CHANCES)
def test_killed_while_each_step_is_taken_back_nothing_is_left(
    stack: Stack,
    admin: Caller,
    made: Made,
    lob: str,
    tasks: Tasks,
    functions: Functions,
    bus: Queue,
    kind: str,
    called_off_in: str,
) -> None:
    chance = ("on", called_off_in)
    too_late: list[str] = []

    def before(step: Step, task: Json) -> bool:
        if called_off_in == "revoke" and step == chance and not is_somebody_leaving(stack, task["tenant_id"]):
            return False
        forget_callers(tasks, step, task)
        if step == chance:
            answer = admin.send("POST", f"/tasks/{task['task_id']}/cancel")
            if answer.status_code != 202:
                assert answer.json()["error"]["code"] == "task_committed", answer.text
                too_late.append(task["task_id"])
        return True

    killer = StepKiller(stack, before, always=frozenset({DRAIN, chance}))
    if called_off_in == "revoke":
        # Whether it is time is seen otherwise.
        killer.at_once |= {chance}
    every: set[Step] = set()
    for number in range(ROUNDS):
        subject = Subject.of(kind, stack, admin, made, lob)
        task = killer.watch(
            lambda body=subject.body: begin(admin, body), lambda step: step[0] == "back" or step in killer.always, WITHIN[kind]
        )
        if task["task_id"] in too_late or not task["cancel_requested"]:
            # It was done a moment too early to be called off.
            assert task["state"] == "succeeded", task
            continue
        assert (task["state"], task.get("error")) == ("cancelled", None), task
        assert set(states(task).values()) <= {"undone", "skipped"}, task
        if kind == "onboard":
            nothing_is_left(stack, admin, subject.body)
        else:
            finish_notes(stack, functions, subject.tenant)
            assert picture(stack, admin, subject.tenant) == subject.before
            assert tasks.papers(task) == {}
        is_told(bus, subject, task)
        is_over(tasks, admin, subject.body, task)
        every = {("back", name) for name, state in states(task).items() if state == "undone"}
        if every <= killer.killed:
            break
    print(f"{kind}, called off in {called_off_in}: killed in {sorted(killer.killed)}, {number + 1} tasks")
    assert every and every <= killer.killed


def answered(send: Callable[[], httpx2.Response]) -> httpx2.Response:
    """The answer to a request that is sent until there is one."""

    def answer() -> httpx2.Response | None:
        found = send()
        return found if found.status_code < 500 else None

    found = until(answer, "an answer")
    assert found
    return found


def is_cut(functions: Functions, send: Callable[[], httpx2.Response], is_time: Callable[[], bool]) -> bool:
    """Kills who answers a request when it is time, if that is not too late: whoever sent it does not know what came of it."""
    is_killed, answer = killed_while(functions, HTTP, is_time, send)
    return is_killed and answer.status_code >= 500


WRITTEN = pytest.mark.parametrize("is_written", [False, True], ids=["before it is written", "behind that"])


@WRITTEN
def test_a_request_that_is_cut_and_sent_again_makes_one_tenant(
    stack: Stack,
    admin: Caller,
    made: Made,
    lob: str,
    tasks: Tasks,
    chaos: Chaos,
    functions: Functions,
    is_written: bool,
) -> None:
    for _ in range(ROUNDS):
        body, key = document(made, lob), secrets.token_hex(16)

        def send(body: Json = body, key: str = key) -> httpx2.Response:
            return ask(admin, body, idempotency_key=key)

        def is_time(body: Json = body) -> bool:
            return (tasks.of(body["tenant_id"]) is not None) == is_written

        with chaos.on(**SLOWLY):
            was_cut = is_cut(functions, send, is_time)
        answer = answered(send)
        assert answer.status_code == 202, answer.text
        task = ended(admin, answer.json()["task_id"])
        assert task["state"] == "succeeded", task
        assert picture(stack, admin, body["tenant_id"]) == pictured(body)
        is_over(tasks, admin, body, task)
        assert answered(send).json()["task_id"] == task["task_id"]
        if was_cut:
            return
    raise AssertionError("no request was cut")


def test_a_cancel_that_is_cut_and_sent_again_leaves_nothing(
    stack: Stack,
    admin: Caller,
    made: Made,
    lob: str,
    tasks: Tasks,
    chaos: Chaos,
    functions: Functions,
) -> None:
    for _ in range(ROUNDS):
        # Ten clients take a while.
        body = document(made, lob) | {"clients": [{"name": f"client-{number}"} for number in range(10)]}
        with chaos.on(**SLOWLY):
            task_id = begin(admin, body)
            until(lambda task_id=task_id: states(tasks.written(task_id))["limits"] == "done", "the first steps")

            def send(task_id: str = task_id) -> httpx2.Response:
                return admin.send("POST", f"/tasks/{task_id}/cancel")

            def is_time(task_id: str = task_id) -> bool:
                return tasks.written(task_id)["cancel_requested"]

            was_cut = is_cut(functions, send, is_time)
        answer = answered(send)
        # It may be over by now.
        assert answer.status_code == 202 or answer.json()["error"]["code"] == "task_over", answer.text
        task = ended(admin, task_id)
        assert (task["state"], task["cancel_requested"]) == ("cancelled", True), task
        nothing_is_left(stack, admin, body)
        is_over(tasks, admin, body, task)
        if was_cut:
            return
    raise AssertionError("no request was cut")


@WRITTEN
def test_credentials_that_are_cut_are_told_once_at_most(
    stack: Stack,
    admin: Caller,
    made: Made,
    lob: str,
    tasks: Tasks,
    chaos: Chaos,
    functions: Functions,
    is_written: bool,
) -> None:
    for _ in range(ROUNDS):
        body = document(made, lob)
        task_id, tenant = begin(admin, body), body["tenant_id"]
        assert ended(admin, task_id)["state"] == "succeeded"

        def send(task_id: str = task_id) -> httpx2.Response:
            return admin.send("POST", f"/tasks/{task_id}/credentials")

        def is_time(task_id: str = task_id) -> bool:
            return bool(tasks.written(task_id)["output"].get("credentials_told")) == is_written

        with chaos.on(**SLOWLY):
            was_cut = is_cut(functions, send, is_time)
        answer = answered(send)
        assert answer.status_code == 409 or not (was_cut and is_written), "they count as told before they are"
        if answer.status_code == 200:
            clients = answer.json()["data"]
            assert [client["name"] for client in clients] == ["Daily", "Nightly"]
            assert all(stack.client_credentials(client) for client in clients)
        late = answered(send)
        assert (late.status_code, late.json()["error"]["code"]) == (409, "credentials_told")
        # Whoever was told nothing gets a new secret; of a client of its own where the user pool rotates none.
        client = admin.send("GET", f"/tenants/{tenant}/clients").json()["data"][0]
        new_one = admin.send("POST", f"/tenants/{tenant}/clients/{client['client_id']}/rotate", json={})
        if new_one.status_code != 200:
            assert (new_one.status_code, new_one.json()["error"]["code"]) == (409, "rotation_unsupported")
            new_one = admin.send("POST", f"/tenants/{tenant}/clients", json={"name": "Another"})
        client = client | new_one.json()
        assert succeeds(Caller(stack, tenant, lob, stack.client_credentials(client), client["client_id"]))
        if was_cut:
            return
    raise AssertionError("no request was cut")


def test_what_nobody_is_at_any_more_goes_on_although_the_schedule_is_killed(
    stack: Stack,
    admin: Caller,
    made: Made,
    lob: str,
    tasks: Tasks,
    chaos: Chaos,
    functions: Functions,
    bus: Queue,
) -> None:
    # An execution that is lost in the midst of a task, with the function at work.
    body = document(made, lob)
    with chaos.on(**SLOWLY):
        task_id = begin(admin, body)

        def is_lost() -> bool:
            with functions.held(STEPS) as pid:
                if pid is None or states(tasks.written(task_id))["people"] != "running":
                    return False
                tasks.lose(task_id)
                return functions.kill(pid)

        until(is_lost, "it to be cut", 60, OFTEN_S)
        until(lambda: tasks.age(task_id, LOST_AFTER), "nobody to be at it")
        # The stack's own schedule may be at work, too, and be killed instead.
        runs = (killed_while(functions, HTTP, lambda: True, lambda: functions.scheduled(HTTP)) for _ in range(ROUNDS))
        assert any(was_cut for _, (was_cut, _) in runs)
    assert functions.run_schedule(HTTP).endswith("done")
    task = ended(admin, task_id)
    assert (task["state"], set(states(task).values())) == ("succeeded", {"done"}), task
    assert picture(stack, admin, body["tenant_id"]) == pictured(body)
    is_told(bus, Subject(body, {}), task)
    first, second = sorted(tasks.runs(task_id).items(), key=lambda run: int(run[0]))
    assert (first, second[1]) == (("0", "ABORTED"), "SUCCEEDED")
