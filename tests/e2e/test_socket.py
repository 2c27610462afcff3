"""Many turns on one WebSocket: streamed, in parts, cancelled, resumed, each checked and recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from ledger import Ledger
from simulator import Simulator, messages
from stack import TIMEOUT_S, Caller, Stack
from tenants import Tenants
from waiting import until

MODEL = "gpt-oss-120b"
USAGE = {"input": 21, "output": 6}
#: What API Gateway takes in one frame.
FRAME = 32 * 1024


class Socket:
    """One connection, and all that came on it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.told: list[dict[str, Any]] = []

    def say(self, **message: Any) -> None:
        """Sends a message."""
        text = json.dumps(message)
        assert len(text) <= 128 * 1024
        frames = [text[at : at + FRAME] for at in range(0, len(text), FRAME)]
        self.connection.send(frames if len(frames) > 1 else text)

    def hear(self) -> dict[str, Any]:
        """The next message."""
        text = self.connection.recv(timeout=TIMEOUT_S)
        assert len(text.encode()) <= FRAME, "a frame that API Gateway would refuse"
        self.told.append(json.loads(text))
        return self.told[-1]

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next message that is as wanted."""
        while not wanted(message := self.hear()):
            assert message["type"] != "error", message
        return message

    def hello(self, session: str | None = None) -> str:
        """Begins a session, or goes on with one."""
        self.say(type="hello", **({"session": session} if session else {}))
        return self.until(lambda message: message["type"] == "welcome")["session"]

    def ask(self, request_id: str, words: str = "Hello.", **directive: Any) -> None:
        """Asks for a streamed answer."""
        self.say(type="request", id=request_id, path="/v1/chat/completions", body=body(words, **directive))

    def whole(self, request_id: str) -> list[dict[str, Any]]:
        """All messages of an answer, from the first that has not come to its end."""
        self.until(lambda message: message["type"] == "end" and message["id"] == request_id)
        return [message for message in self.told if message.get("id") == request_id]


def body(words: str = "Hello.", **directive: Any) -> dict[str, Any]:
    """A streamed chat completion."""
    return {
        "model": MODEL,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": messages(words, usage=USAGE, **directive),
    }


def text(answer: list[dict[str, Any]]) -> str:
    """What the model said."""
    stream = "".join(message["data"] for message in answer if message["type"] == "piece")
    lines = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: {")]
    chunks = [json.loads(line) for line in lines]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def says(words: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a message holds these words."""
    return lambda message: words in message.get("data", "")


@contextmanager
def opened(caller: Caller) -> Iterator[Socket]:
    """A connection of the caller's."""
    url = caller.stack.document["websocket_url"]
    headers = {"Authorization": f"Bearer {caller.token}"}
    with connect(url, additional_headers=headers, open_timeout=TIMEOUT_S, proxy=None, compression=None) as connection:
        yield Socket(connection)


def call_id(answer: list[dict[str, Any]]) -> str:
    """The id of the call that gave the answer."""
    return answer[0]["headers"]["x-request-id"]


def test_two_turns_on_one_connection_are_streamed_and_recorded_once_each(acme: Caller, ledger: Ledger) -> None:
    with opened(acme) as socket:
        socket.hello()
        calls = []
        for request_id, chunks in (("r1", ["one ", "two ", "three"]), ("r2", ["four ", "five"])):
            socket.ask(request_id, chunks=chunks, chunk_delay_ms=300)
            answer = socket.whole(request_id)
            assert (answer[0]["type"], answer[0]["status"]) == ("head", 200)
            assert [message["seq"] for message in answer] == list(range(len(answer)))
            assert text(answer) == "".join(chunks)
            assert len(answer) > 3, "the answer must come in several pieces"
            calls.append(call_id(answer))
    for call in calls:
        record = ledger.record(acme, call)
        assert {"input": record["usage"]["input"], "output": record["usage"]["output"]} == USAGE
        assert ledger.find(acme.tenant_id, call, attempt=2) is None


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}])
def test_a_connection_without_a_good_token_is_refused(stack: Stack, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(stack.document["websocket_url"], additional_headers=headers, open_timeout=TIMEOUT_S, proxy=None)
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("place", ["query", "subprotocol"])
def test_a_browsers_token_comes_without_a_header(acme: Caller, place: str) -> None:
    url, protocols = acme.stack.document["websocket_url"], None
    if place == "query":
        url = f"{url}?token={acme.token}"
    else:
        protocols = [Subprotocol("bearer"), Subprotocol(acme.token)]
    with connect(url, subprotocols=protocols, open_timeout=TIMEOUT_S, proxy=None, compression=None) as connection:
        assert connection.subprotocol == (protocols[0] if protocols else None)
        assert Socket(connection).hello()


def test_a_request_of_300_kb_comes_in_parts(acme: Caller, simulator: Simulator) -> None:
    request = json.dumps(body("word " * 60_000, chunks=["read"]))
    assert len(request) > 300_000
    parts = [request[at : at + 60_000] for at in range(0, len(request), 60_000)]
    with opened(acme) as socket:
        socket.hello()
        for index, data in enumerate(parts):
            socket.say(type="part", id="large", index=index, data=data)
        socket.say(type="request", id="large", path="/v1/chat/completions", parts=len(parts))
        answer = socket.whole("large")
    assert text(answer) == "read"
    assert simulator.call(call_id(answer), acme.tenant_id)["outcome"] == "completed"


def test_a_cancelled_answer_ends_at_once_and_is_billed_in_full(
    acme: Caller, ledger: Ledger, simulator: Simulator
) -> None:
    chunks = [f"word{index} " for index in range(16)]
    with opened(acme) as socket:
        socket.hello()
        socket.ask("r1", chunks=chunks, chunk_delay_ms=500)
        head = socket.until(lambda message: message["type"] == "head")
        socket.until(says("word0"))
        socket.say(type="cancel", id="r1")
        end = socket.until(lambda message: message["type"] == "end")
        assert end["reason"] == "cancelled"
        call = simulator.find(call_id([head]), acme.tenant_id)
        assert call is not None
        assert call["outcome"] == "in_progress", "the client must have its end while the model still talks"
    record = ledger.record(acme, call_id([head]))
    assert record["is_estimated"] is False
    assert {"input": record["usage"]["input"], "output": record["usage"]["output"]} == USAGE


def test_a_client_that_reconnects_gets_exactly_what_it_missed(acme: Caller, globex: Caller, ledger: Ledger) -> None:
    chunks = [f"word{index} " for index in range(16)]
    with opened(acme) as socket:
        session = socket.hello()
        socket.ask("r1", chunks=chunks, chunk_delay_ms=300)
        socket.until(says("word1"))
        seen = [message for message in socket.told if message.get("id") == "r1"]
    back = {"type": "resume", "session": session, "id": "r1", "after": seen[-1]["seq"]}
    with opened(globex) as stranger:
        stranger.say(**back)
        assert stranger.hear()["code"] == "unknown_session"
    with opened(acme) as socket:
        socket.say(**back)
        missed = socket.whole("r1")
    assert [message["seq"] for message in seen + missed] == list(range(len(seen + missed)))
    assert text(seen + missed) == "".join(chunks)
    # Once more, from the start, when it is over.
    with opened(acme) as socket:
        socket.say(type="resume", session=session, id="r1")
        assert socket.whole("r1") == seen + missed
    ledger.record(acme, call_id(seen))


def test_a_tenant_that_is_suspended_is_refused_at_its_next_message(tenants: Tenants, simulator: Simulator) -> None:
    caller = tenants.tenant(tenants.lob(), [MODEL])
    with opened(caller) as socket:
        socket.hello()
        socket.ask("r1", chunks=["served"])
        assert text(socket.whole("r1")) == "served"
        tenants.change(f"TENANT#{caller.tenant_id}", status="suspended")
        last = simulator.last_seq()
        counter = iter(range(1_000))

        def refused() -> bool:
            socket.say(type="cancel", id=f"r{next(counter) + 2}")
            return socket.hear()["code"] == "suspended"

        # What is known of a tenant may be a second old.
        until(refused, "the suspension to be seen")
        socket.ask("last", chunks=["never"])
        assert socket.hear()["code"] == "suspended"
        assert simulator.calls(last, caller.tenant_id) == []
