"""Conversations with the official OpenAI SDK: every kind of answer, over both protocols, as two tenants."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from simulator import Simulator, messages, script
from stack import ROUTES, Caller

#: Models that see.
SEEING = [("acme", "claude-sonnet-4-5"), ("globex", "nova-lite")]

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}},
            "required": ["city"],
        },
    },
}
TWO_CITIES = [
    {"name": "get_weather", "arguments": {"city": "Oslo", "unit": "C"}},
    {"name": "get_weather", "arguments": {"city": "Rome", "unit": "C"}},
]


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_a_conversation_is_answered_and_counted(callers: dict[str, Caller], tenant_id: str, model: str) -> None:
    completion = callers[tenant_id].openai.chat.completions.create(
        model=model,
        messages=[
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": "Who are you?"},
            {"role": "assistant", "content": "A model."},
            {"role": "user", "content": script(text="Good morning to you.", usage={"input": 31, "output": 5})},
        ],
        max_completion_tokens=50,
        temperature=0.2,
        stop=["###"],
        seed=7,
    )
    assert completion.object == "chat.completion"
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.content == "Good morning to you."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (31, 5)
    assert completion.usage.total_tokens == 36


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_a_stream_ends_with_the_usage_if_asked(callers: dict[str, Caller], tenant_id: str, model: str) -> None:
    stream = callers[tenant_id].openai.chat.completions.create(
        model=model,
        messages=messages(chunks=["Good", " morning", " to you."], usage={"input": 12, "output": 4}),
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, last = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "Good morning to you."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert len({chunk.id for chunk in [*chunks, last]}) == 1
    assert all(chunk.usage is None for chunk in chunks)
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (12, 4, 16)


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_a_stream_has_no_usage_unless_asked(callers: dict[str, Caller], tenant_id: str, model: str) -> None:
    stream = callers[tenant_id].openai.chat.completions.create(
        model=model, messages=messages(chunks=["One", " two."]), stream=True
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "One two."
    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_tools_are_called_in_parallel_and_answered_over_several_turns(
    callers: dict[str, Caller], tenant_id: str, model: str
) -> None:
    create = callers[tenant_id].openai.chat.completions.create
    conversation: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": script("The weather in Oslo and Rome?", tool_calls=TWO_CITIES)}
    ]
    asked = create(model=model, messages=conversation, tools=[WEATHER]).choices[0]
    assert asked.finish_reason == "tool_calls"
    calls = asked.message.tool_calls or []
    assert [call.function.name for call in calls] == ["get_weather", "get_weather"]
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Oslo", "Rome"]
    assert len({call.id for call in calls}) == 2

    conversation.append(asked.message.to_dict())
    for call, degrees in zip(calls, ["-3 C", "14 C"], strict=True):
        conversation.append({"role": "tool", "tool_call_id": call.id, "content": degrees})
    told = create(model=model, messages=conversation, tools=[WEATHER]).choices[0]
    assert told.finish_reason == "stop"
    assert "-3 C" in (told.message.content or "")
    assert "14 C" in (told.message.content or "")

    conversation += [
        {"role": "assistant", "content": told.message.content},
        {"role": "user", "content": script("And in Bergen?", tool_calls=TWO_CITIES[:1])},
    ]
    again = create(model=model, messages=conversation, tools=[WEATHER], tool_choice="required").choices[0]
    assert [call.function.name for call in again.message.tool_calls or []] == ["get_weather"]


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_streamed_tool_arguments_come_in_pieces_and_add_up(
    callers: dict[str, Caller], tenant_id: str, model: str
) -> None:
    with callers[tenant_id].openai.chat.completions.stream(
        model=model, messages=messages("The weather in two cities?", tool_calls=TWO_CITIES), tools=[WEATHER]
    ) as stream:
        pieces = [event.arguments_delta for event in stream if event.type == "tool_calls.function.arguments.delta"]
        final = stream.get_final_completion().choices[0]
    assert len([piece for piece in pieces if piece]) > 4, "the arguments should not come in one piece per call"
    assert final.finish_reason == "tool_calls"
    calls = final.message.tool_calls or []
    assert [json.loads(call.function.arguments) for call in calls] == [call["arguments"] for call in TWO_CITIES]


class Step(BaseModel):
    """Part of a structured answer."""

    explanation: str
    output: str


class Solution(BaseModel):
    """A structured answer."""

    steps: list[Step]
    final_answer: str
    is_sure: bool


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_structured_output_is_parsed(
    callers: dict[str, Caller], simulator: Simulator, tenant_id: str, model: str
) -> None:
    answer = Solution(steps=[Step(explanation="Add.", output="4")], final_answer="4", is_sure=True)
    completion = callers[tenant_id].openai.chat.completions.parse(
        model=model, messages=messages(text=answer.model_dump_json()), response_format=Solution
    )
    assert completion.choices[0].message.parsed == answer
    call = simulator.call(str(completion._request_id), tenant_id)
    assert "final_answer" in json.dumps(call["request_body"]), "the schema must reach the model"

    # Without a script the simulator answers by the schema that it was given.
    completion = callers[tenant_id].openai.chat.completions.parse(
        model=model, messages=[{"role": "user", "content": "Solve it."}], response_format=Solution
    )
    assert isinstance(completion.choices[0].message.parsed, Solution)


def png() -> bytes:
    """The smallest picture: one red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("tenant_id", "model"), SEEING)
def test_a_picture_reaches_the_model(
    callers: dict[str, Caller], simulator: Simulator, tenant_id: str, model: str
) -> None:
    data = base64.b64encode(png()).decode()
    completion = callers[tenant_id].openai.chat.completions.create(
        model=model,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": script("What is it?", text="A red pixel.")},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
                ],
            }
        ],
    )
    assert completion.choices[0].message.content == "A red pixel."
    assert completion.usage is not None
    assert completion.usage.prompt_tokens > 1000, "the simulator counts 1,000 tokens for a picture"
    call = simulator.call(str(completion._request_id), tenant_id)
    assert data in json.dumps(call["request_body"]), "the picture's own bytes"


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_reasoning_stands_apart_from_the_answer(callers: dict[str, Caller], tenant_id: str, model: str) -> None:
    completion = callers[tenant_id].openai.chat.completions.create(
        model=model, messages=messages(reasoning="Let me think.", text="Four.")
    )
    message = completion.choices[0].message
    assert message.content == "Four."
    assert (message.model_extra or {})["reasoning_content"] == "Let me think."


@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_an_answer_that_reaches_its_maximum_says_so(callers: dict[str, Caller], tenant_id: str, model: str) -> None:
    completion = callers[tenant_id].openai.chat.completions.create(
        model=model, messages=messages(text="one two three four five"), max_tokens=3
    )
    assert completion.choices[0].finish_reason == "length"
    assert completion.choices[0].message.content == "one two three "


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(("tenant_id", "model"), ROUTES)
def test_every_answer_says_who_it_is_and_what_is_left(
    callers: dict[str, Caller], tenant_id: str, model: str, is_streamed: bool
) -> None:
    raw = callers[tenant_id].openai.chat.completions.with_raw_response.create(
        model=model, messages=messages(), stream=is_streamed
    )
    if is_streamed:
        list(raw.parse())
    headers = raw.headers
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])
    assert headers["content-type"] == ("text/event-stream" if is_streamed else "application/json")
    assert re.fullmatch(r"gateway;dur=\d+\.\d", headers["server-timing"])
    for kind in ["requests", "tokens"]:
        limit, remaining = (int(headers[f"x-ratelimit-{which}-{kind}"]) for which in ["limit", "remaining"])
        assert 0 <= remaining < limit
        assert re.fullmatch(r"\d{1,2}s", headers[f"x-ratelimit-reset-{kind}"])


def test_models_are_the_tenants_own(callers: dict[str, Caller]) -> None:
    # Aliases are listed as well.
    seed = Path(__file__).resolve().parents[2] / "infra/seed"
    registered = {model["id"] for model in json.loads((seed / "models.json").read_text())}
    listed = {
        tenant_id: {model.id for model in caller.openai.models.list()} & registered
        for tenant_id, caller in callers.items()
    }
    seeded = json.loads((seed / "local.json").read_text())["tenants"]
    assert listed == {tenant["tenant_id"]: set(tenant["models"]) for tenant in seeded if tenant["tenant_id"] in listed}
    assert listed["acme"] - listed["globex"]
    assert listed["globex"] - listed["acme"]
    model = callers["acme"].openai.models.retrieve("claude-sonnet-4-5")
    assert (model.object, model.owned_by) == ("model", "anthropic")


def test_fields_that_nobody_knows_reach_a_model_that_speaks_the_dialect(
    acme: Caller, globex: Caller, simulator: Simulator
) -> None:
    for caller, model in [(acme, "gpt-oss-120b"), (globex, "gpt-oss-20b")]:
        completion = caller.openai.chat.completions.create(
            model=model, messages=messages(), extra_body={"a_field_of_next_year": {"deep": [1, 2]}}
        )
        body = simulator.call(str(completion._request_id), caller.tenant_id)["request_body"]
        assert body["a_field_of_next_year"] == {"deep": [1, 2]}
        assert body["messages"] == messages()
