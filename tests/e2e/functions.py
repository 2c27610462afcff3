"""The functions as processes: find them, kill them, run the sweep ahead of time."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any

from stack import Stack
from waiting import until

#: The sweep leaves a call alone for as long as its function may run (15 minutes) and a minute more.
PAST_EVERY_CALL = timedelta(minutes=20)


@dataclass(frozen=True)
class Functions:
    """Functions of the stack."""

    stack: Stack

    @cached_property
    def _lambda(self) -> Any:
        return self.stack.aws("lambda")

    def processes(self, output: str) -> list[dict[str, Any]]:
        """The processes of the function that an output names: ``pid``, ``busy``."""
        parameters = {"function_name": self.stack.outputs[output]}
        answer = self.stack.http.get(f"{self.stack.aws_url}/_weir/workers", params=parameters)
        return [worker for worker in answer.json()["workers"] if worker["pid"]]

    def busy_processes(self, output: str) -> list[int]:
        """Those that are at work right now."""
        return [worker["pid"] for worker in self.processes(output) if worker["busy"]]

    def busy_invoke_processes(self) -> list[int]:
        """Processes of ``invoke`` that serve a call right now."""
        return self.busy_processes("InvokeFunctionName")

    @staticmethod
    def kill(pid: int) -> bool:
        """Kills a process of a function without a warning; whether it was still there."""
        return Functions._signal(pid, signal.SIGKILL)

    @contextmanager
    def held(self, output: str) -> Iterator[int | None]:
        """Holds a process of the function that an output names while it is at work, if there is one: its ``pid``.

        Where it is can be looked at meanwhile, and it be killed just there. What it has sent already is carried out.
        """
        pid = next((pid for pid in self.busy_processes(output) if self._signal(pid, signal.SIGSTOP)), None)
        try:
            yield pid
        finally:
            if pid is not None:
                self._signal(pid, signal.SIGCONT)

    @staticmethod
    def _signal(pid: int, number: signal.Signals) -> bool:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def scheduled(self, output: str, ahead: timedelta = timedelta()) -> tuple[bool, Any]:
        """Does what the schedule of a function does, ``ahead`` of time: whether it was cut, and its answer."""
        moment = (datetime.now(timezone.utc) + ahead).strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "version": "0",
            "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "000000000000",
            "time": moment,
            "region": self.stack.region,
            "resources": [],
            "detail": {},
        }
        answer = self._lambda.invoke(FunctionName=self.stack.outputs[output], Payload=json.dumps(event).encode())
        return "FunctionError" in answer, json.load(answer["Payload"])

    def run_schedule(self, output: str, ahead: timedelta = timedelta()) -> Any:
        """The same, to its end; what it answers."""
        was_cut, done = self.scheduled(output, ahead)
        assert not was_cut, done
        return done

    def sweep(self, ahead: timedelta = PAST_EVERY_CALL) -> dict[str, int]:
        """Runs the sweep with a clock that is ``ahead``; what it did.

        The event's ``time`` is the sweep's clock, so nobody has to wait for a deadline.
        """
        return self.run_schedule("MeteringAggregatorFunctionName", ahead)

    def write_lake(self) -> None:
        """Does what the schedule does every five minutes, until nothing is left to do."""
        name = self.stack.outputs["MeteringAggregatorFunctionName"]

        def is_complete() -> bool:
            answer = self._lambda.invoke(FunctionName=name, Payload=json.dumps({"task": "lake"}))
            outcome = json.load(answer["Payload"])
            assert "FunctionError" not in answer, outcome
            return outcome["is_complete"]

        until(is_complete, "the lake to be written")
