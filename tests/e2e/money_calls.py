"""The calls of a round of the money campaign: a thousand at once, in three dialects, streamed and not."""

from __future__ import annotations

import asyncio
import collections
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2

from money_limits import MODELS
from simulator import script
from stack import Caller

#: Seconds that a call may take: on a small machine a thousand wait for each other.
PATIENCE_S = 300
#: Who a limit belongs to, and what it is of, in the words of a refusal.
_REFUSAL = re.compile(r"(organisation|line of business|tenant|project|principal).*\(([a-z ]+)\)")


@dataclass(frozen=True)
class Call:
    """One call, made once: no SDK tries it again."""

    caller: int
    dialect: str
    is_streamed: bool
    model: str
    max_tokens: int
    directive: dict[str, Any]
    hangs_up: bool

    @classmethod
    def of(cls, rng: random.Random, callers: int) -> Call:
        """Some call: it uses at most what it reserves, and mostly less. A few meet a provider that fails, or nobody listens."""
        max_tokens = rng.randint(5, 60)
        output = rng.randint(1, max_tokens)
        directive: dict[str, Any] = {
            "chunks": ["one ", "two ", "three ", "four."],
            "latency_ms": rng.randint(50, 1500),
            "chunk_delay_ms": rng.randint(0, 150),
            "usage": {"input": rng.randint(10, 150), "output": output},
        }
        chance = rng.random()
        if chance < 0.02:
            directive["error"] = {"status": 429}
        elif chance < 0.04:
            directive["error"] = {"status": 500}
        elif chance < 0.06:
            directive["cut_after_chunks"] = 2
        is_streamed = rng.random() < 0.5
        return cls(
            caller=rng.randrange(callers),
            dialect=rng.choice(["chat", "messages", "converse"]),
            is_streamed=is_streamed,
            model=rng.choice(MODELS),
            max_tokens=max_tokens,
            directive=directive,
            hangs_up=is_streamed and rng.random() < 0.06,
        )

    def request(self, base_url: str) -> tuple[str, dict[str, Any]]:
        """Where it goes, and its body."""
        text = script("x" * 20, **self.directive)
        if self.dialect == "converse":
            operation = "converse-stream" if self.is_streamed else "converse"
            url = f"{base_url.removesuffix('/v1')}/bedrock/model/{quote(self.model, safe='')}/{operation}"
            messages = [{"role": "user", "content": [{"text": text}]}]
            return url, {"messages": messages, "inferenceConfig": {"maxTokens": self.max_tokens}}
        path = {"chat": "/chat/completions", "messages": "/messages"}[self.dialect]
        body: dict[str, Any] = {"model": self.model, "max_tokens": self.max_tokens}
        body["messages"] = [{"role": "user", "content": text}]
        if self.is_streamed:
            body["stream"] = True
        return base_url + path, body

    def is_whole(self, answer: bytes) -> bool:
        """Whether a streamed answer came to its end without an error in it."""
        ends = {
            "chat": [b"data: [DONE]"],
            "messages": [b"event: message_stop"],
            "converse": [b"messageStop", b"metadata"],
        }[self.dialect]
        return all(end in answer for end in ends) and b'"error"' not in answer


@dataclass
class Answers:
    """What became of the calls."""

    #: Ids of calls that were answered to their end, and when they were, in Unix milliseconds.
    succeeded: dict[str, float] = field(default_factory=dict)
    #: How many calls ended how.
    kinds: collections.Counter[str] = field(default_factory=collections.Counter)
    #: How many were refused by which limit.
    refusals: collections.Counter[str] = field(default_factory=collections.Counter)
    under_way: int = 0
    most_under_way: int = 0

    async def make(self, client: httpx2.AsyncClient, callers: list[Caller], call: Call) -> None:
        """Makes one call and notes what came of it."""
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        caller = callers[call.caller]
        url, body = call.request(caller.stack.base_url)
        headers = {"authorization": f"Bearer {caller.token}"}
        try:
            async with client.stream("POST", url, json=body, headers=headers) as answer:
                await self._read(call, answer)
        except httpx2.HTTPError as error:
            self.kinds[f"connection: {type(error).__name__}"] += 1
        finally:
            self.under_way -= 1

    async def _read(self, call: Call, answer: httpx2.Response) -> None:
        if answer.status_code != 200:
            text = (await answer.aread()).decode()
            self.kinds[str(answer.status_code)] += 1
            found = _REFUSAL.search(text) if answer.status_code == 429 else None
            if found:
                self.refusals[f"{found[1]}: {found[2]}"] += 1
            return
        whole = b""
        async for chunk in answer.aiter_bytes():
            whole += chunk
            if call.hangs_up:
                self.kinds["hung up"] += 1
                return
        if call.is_streamed and not call.is_whole(whole):
            self.kinds["error in stream"] += 1
            return
        self.kinds["200"] += 1
        self.succeeded[answer.headers["x-request-id"]] = time.time() * 1000


async def make_all(callers: list[Caller], calls: list[Call]) -> Answers:
    """All calls at once, each on a connection of its own."""
    answers = Answers()
    limits = httpx2.Limits(max_connections=len(calls), max_keepalive_connections=0)
    async with httpx2.AsyncClient(limits=limits, timeout=PATIENCE_S, trust_env=False) as client:
        await asyncio.gather(*(answers.make(client, callers, call) for call in calls))
    return answers
