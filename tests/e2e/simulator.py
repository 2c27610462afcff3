"""The model simulator: scripts for it, and what it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stack import Stack
from waiting import until


def script(words: str = "Hello.", **directive: Any) -> str:
    """A user's text that tells the simulator how to answer, and says ``words`` beside."""
    return f"[sim {json.dumps(directive)}] {words}"


def messages(words: str = "Hello.", **directive: Any) -> list[dict[str, str]]:
    """A conversation of one such text."""
    return [{"role": "user", "content": script(words, **directive)}]


@dataclass(frozen=True)
class Simulator:
    """Its control API."""

    stack: Stack

    def _get(self, path: str, **parameters: Any) -> dict[str, Any]:
        answer = self.stack.http.get(self.stack.model_sim_url + path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _set(self, method: str, path: str, body: Any = None) -> None:
        answer = self.stack.http.request(method, self.stack.model_sim_url + path, json=body)
        assert answer.status_code == 204, answer.text

    def faults(self, table: dict[str, Any]) -> None:
        """Directives by model (``*`` for all others), in place of those before; docs/model-sim.md has the form."""
        self._set("PUT", "/_sim/faults", table)

    @contextmanager
    def conversation(self, name: str, match: str, turns: list[dict[str, Any]]) -> Iterator[None]:
        """The answers to every conversation in which the user says ``match``: one per round of tool results."""
        self._set("PUT", f"/_sim/scripts/{name}", {"match": match, "turns": turns})
        try:
            yield
        finally:
            self._set("DELETE", f"/_sim/scripts/{name}")

    def release(self) -> None:
        """Ends the waits of all calls under way."""
        self._set("POST", "/_sim/release")

    def closed_url(self) -> str:
        """Where connections are refused."""
        return self._get("/_sim/health")["closed_url"]

    def last_seq(self) -> int:
        """The number of the latest call; later ones have higher numbers."""
        return self._get("/_sim/health")["last_seq"]

    def calls(self, since: int, tenant_id: str | None = None) -> list[dict[str, Any]]:
        """Calls after the number ``since``, of one tenant or of all."""
        parameters = {"since": since} | ({"tenant_id": tenant_id} if tenant_id else {})
        return self._get("/_sim/calls", **parameters)["calls"]

    def find(self, call_id: str, tenant_id: str) -> dict[str, Any] | None:
        """The call of the gateway's that has this id, if it has reached the simulator."""
        return next((call for call in self.calls(0, tenant_id) if call["call_id"] == call_id), None)

    def call(self, call_id: str, tenant_id: str) -> dict[str, Any]:
        """The same, once its answer has ended one way or another."""

        def ended() -> dict[str, Any] | None:
            call = self.find(call_id, tenant_id)
            return call if call and call["outcome"] != "in_progress" else None

        return until(ended, f"the end of {call_id} in the model simulator")
