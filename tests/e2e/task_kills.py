"""Kills what asks for tasks and what does them: once in each step, and while each is taken back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from chaos import Chaos
from functions import Functions
from stack import Stack
from tasks import OVER, Tasks, states
from waiting import until

T = TypeVar("T")
Json = dict[str, Any]
#: A step, and whether it is done or taken back: ``("on", "limits")``.
Step = tuple[str, str]

#: Makes each request of functions to DynamoDB take a moment, so that no step is over before it is looked at.
SLOWLY = {"delayed": 2, "delay_s": 0.1}
#: Seconds between two looks.
OFTEN_S = 0.01
#: Steps that change nothing that could be seen, or that are over as soon as it could be.
AT_ONCE = frozenset(
    {
        *(("on", name) for name in ("welcome", "callers", "confirm", "tell", "drain")),
        *(("back", name) for name in ("limits", "callers", "confirm", "drain", "statement", "export", "inventory")),
    }
)


def ahead(task: Json) -> list[Step]:
    """What is to be done for a task, or to be taken back, from here on."""
    if task["cancel_requested"] or task["state"] == "compensating":
        return [("back", step["name"]) for step in reversed(task["steps"]) if step["state"] in ("running", "done")]
    return [("on", step["name"]) for step in task["steps"] if step["state"] in ("pending", "running")]


def at_work(task: Json) -> Step | None:
    """What whoever is at a task does."""
    step = next(iter(ahead(task)), None)
    is_begun = step and (step[0] == "back" or states(task)[step[1]] == "running")
    return step if is_begun else None


def killed_while(functions: Functions, output: str, is_time: Callable[[], bool], send: Callable[[], T]) -> tuple[bool, T]:
    """Sends something, and kills the function that an output names as soon as it is at work and it is time.

    Whether that was not too late, and what came back.
    """
    is_killed = False
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(send)

        def is_over() -> bool:
            nonlocal is_killed
            with functions.held(output) as pid:
                is_killed = pid is not None and is_time() and functions.kill(pid)
            return is_killed or answer.done()

        until(is_over, "it to be killed", 60, OFTEN_S)
        return is_killed, answer.result()


@dataclass
class StepKiller:
    """Kills ``orchestrator-step``, once in each step of a kind of task; several tasks may be needed for that."""

    stack: Stack
    #: What to do beforehand in a step, with the function held: called with the step and the task. Whether to kill it then.
    before: Callable[[Step, Json], bool] = lambda step, task: True
    #: In which to kill it in every task, since something is to be done beforehand.
    always: frozenset[Step] = frozenset()
    #: In which to kill it before anything of them can be seen.
    at_once: frozenset[Step] = AT_ONCE
    #: In which it was killed.
    killed: set[Step] = field(default_factory=set)
    _now: set[Step] = field(default_factory=set)
    _passed: set[Step] = field(default_factory=set)
    _untouched: dict[Step, Json] = field(default_factory=dict)

    @cached_property
    def _tasks(self) -> Tasks:
        return Tasks(self.stack)

    @cached_property
    def _functions(self) -> Functions:
        return Functions(self.stack)

    def watch(self, begin: Callable[[], str], wanted: Callable[[Step], bool], timeout_s: float) -> Json:
        """Begins a task and kills until it is over; the task.

        A step that leaves traces is killed in the midst of them; one that was over before that could be seen is killed at
        once in the next task.
        """
        self._untouched.clear()
        self._now.clear()
        chaos, is_slow = Chaos(self.stack), True
        task_id, seen = "", {}

        def is_due(step: Step) -> bool:
            return wanted(step) and step not in self._now and (step not in self.killed or step in self.always)

        def look() -> bool:
            nonlocal seen, is_slow
            seen = self._tasks.written(task_id)
            if is_slow != any(is_due(step) for step in ahead(seen)[:3]):
                is_slow = not is_slow
                chaos.set(**SLOWLY if is_slow else {})
            step = at_work(seen)
            if step and is_due(step):
                self._strike(step, task_id)
            return seen["state"] in OVER

        with chaos.on(**SLOWLY):
            task_id = begin()
            until(look, f"task {task_id} to end", timeout_s, OFTEN_S)
        self._passed |= set(self._untouched) - self._now
        return seen

    def _strike(self, step: Step, task_id: str) -> None:
        with self._functions.held("OrchestratorStepFunctionName") as pid:
            task = self._tasks.written(task_id)
            if pid is None or at_work(task) != step:
                return
            if step[0] == "back" and not self._is_at_it(task):
                return
            if step not in self.at_once | self._passed:
                traces = self._tasks.traces(task)
                if self._untouched.setdefault(step, traces) == traces:
                    return
            if self.before(step, task) and self._functions.kill(pid):
                self._now.add(step)
                self.killed.add(step)

    def _is_at_it(self, task: Json) -> bool:
        """Whether who was called has not written anything yet: who has just taken back one step is not at the next one."""
        called_at = self._tasks.called_at(task["task_id"])
        return called_at is not None and task["heartbeat_at"].rstrip("Z") < called_at
