"""What official SDKs do beside conversations: vectors, scores, lists, counts, caching, thinking, stored responses."""

from __future__ import annotations

import base64
import json
import secrets
import struct
from typing import Any

import pytest

import sdks
from front import Front
from ledger import Ledger
from simulator import Simulator, messages, script
from stack import Caller

#: A text long enough for a model to cache it, were it not simulated; new in each run.
LONG_TEXT = f"Rules of the house, edition {secrets.token_hex(8)}. " + "Be brief, and be kind. " * 200


@pytest.mark.parametrize("model", ["titan-embed-v2", "cohere-embed-v4", "vllm-embed"])
def test_openai_embeds_one_text_and_many(acme: Caller, ledger: Ledger, model: str) -> None:
    """Asked for nothing, the SDK wants base64 and decodes it itself."""
    one = acme.openai.embeddings.create(model=model, input="A text.")
    assert one.usage.prompt_tokens > 0
    many = acme.openai.embeddings.create(model=model, input=["A text.", "Another one."])
    floats = acme.openai.embeddings.create(model=model, input="A text.", encoding_format="float")
    coded = acme.openai.embeddings.create(model=model, input="A text.", encoding_format="base64")
    assert [item.index for item in many.data] == [0, 1]
    vectors = [one.data[0].embedding, many.data[0].embedding, floats.data[0].embedding]
    data = base64.b64decode(str(coded.data[0].embedding))
    vectors.append(list(struct.unpack(f"<{len(data) // 4}f", data)))
    for vector in vectors:
        assert vector == pytest.approx(vectors[0], abs=1e-5)
    assert many.data[1].embedding != vectors[0]


def test_openai_chooses_how_long_a_vector_is(acme: Caller) -> None:
    short = acme.openai.embeddings.create(model="titan-embed-v2", input="A text.", dimensions=256)
    assert len(short.data[0].embedding) == 256


@pytest.mark.parametrize("model", ["cohere-rerank-3-5", "vllm-rerank"])
def test_documents_are_ranked_as_cohere_does_it(acme: Caller, model: str) -> None:
    body = {"model": model, "query": "warm cities", "documents": ["cold seas", "warm cities of Italy"], "top_n": 1}
    answer = acme.send("POST", "/rerank", json=body)
    assert answer.status_code == 200, answer.text
    (best,) = answer.json()["results"]
    assert best["index"] == 1
    assert 0 < best["relevance_score"] <= 1


def test_openai_and_anthropic_list_the_same_models(acme: Caller) -> None:
    openai_models = list(acme.openai.models.list())
    anthropic_models = list(sdks.anthropic(acme).models.list())
    names = {model.id for model in openai_models}
    assert names == {model.id for model in anthropic_models}
    assert {"claude-sonnet-4-5", "gpt-oss-120b", "team-default"} <= names
    assert "claude-opus-4-5" not in names
    assert acme.openai.models.retrieve("claude-sonnet-4-5").owned_by == "anthropic"
    assert sdks.anthropic(acme).models.retrieve("nova-pro").created_at.year == 2024


def test_anthropic_and_boto3_count_the_same_tokens(acme: Caller, tls: Front) -> None:
    text = "How many tokens are these?"
    counted = sdks.anthropic(acme).messages.count_tokens(
        model="claude-sonnet-4-5", messages=[{"role": "user", "content": text}]
    )
    converse = {"messages": [{"role": "user", "content": [{"text": text}]}]}
    with sdks.bedrock(acme, tls) as client:
        boto3 = client.count_tokens(modelId="claude-sonnet-4-5", input={"converse": converse})
    assert counted.input_tokens == boto3["inputTokens"] > 0


@pytest.mark.parametrize("model", ["gpt-oss-120b", "claude-sonnet-4-5"])
def test_openai_goes_on_from_a_stored_response(
    acme: Caller, globex: Caller, simulator: Simulator, model: str
) -> None:
    secret = secrets.token_hex(4)
    first = acme.openai.responses.create(model=model, input=f"Remember {secret}. " + script("", text="Noted."))
    assert acme.openai.responses.retrieve(first.id).output_text == first.output_text == "Noted."
    before = simulator.last_seq()
    second = acme.openai.responses.create(
        model=model, input=script("And?", text="Still noted."), previous_response_id=first.id
    )
    assert second.output_text == "Still noted."
    assert acme.openai.responses.retrieve(second.id).previous_response_id == first.id
    (call,) = simulator.calls(before, "acme")
    sent = json.dumps(call["request_body"])
    assert secret in sent
    assert "Noted." in sent
    items = acme.openai.responses.input_items.list(second.id, order="asc").data
    assert secret in json.dumps(items[0].to_dict())
    answer = globex.send("GET", f"/responses/{first.id}")
    assert answer.status_code == 404
    acme.openai.responses.delete(first.id)
    assert acme.send("GET", f"/responses/{first.id}").status_code == 404


def test_every_sdk_shows_what_the_prompt_cache_saved(acme: Caller, tls: Front) -> None:
    """Written by one SDK's call, read by the next one's of the same SDK: dialects are cached apart."""
    model = "claude-sonnet-4-5"
    anthropic = sdks.anthropic(acme)
    system: Any = [{"type": "text", "text": LONG_TEXT, "cache_control": {"type": "ephemeral"}}]
    one, two = (
        anthropic.messages.create(
            model=model, max_tokens=100, system=system, messages=[{"role": "user", "content": "Hello."}]
        ).usage
        for _ in range(2)
    )
    assert one.cache_creation_input_tokens == two.cache_read_input_tokens > 1000
    assert one.cache_creation.ephemeral_5m_input_tokens == one.cache_creation_input_tokens
    assert two.cache_creation_input_tokens == 0
    assert two.input_tokens < 100

    converse: dict[str, Any] = {
        "modelId": model,
        "system": [{"text": f"boto3. {LONG_TEXT}"}, {"cachePoint": {"type": "default"}}],
        "messages": [{"role": "user", "content": [{"text": "Hello."}]}],
    }
    with sdks.bedrock(acme, tls) as client:
        one, two = (client.converse(**converse)["usage"] for _ in range(2))
    assert one["cacheWriteInputTokens"] == two["cacheReadInputTokens"] > 1000
    assert two["inputTokens"] < 100

    content = [{"type": "text", "text": f"OpenAI. {LONG_TEXT}", "cache_control": {"type": "ephemeral"}}]
    conversation: Any = [{"role": "system", "content": content}, {"role": "user", "content": "Hello."}]
    one, two = (acme.openai.chat.completions.create(model=model, messages=conversation).usage for _ in range(2))
    assert one.prompt_tokens_details.cached_tokens == 0
    assert two.prompt_tokens_details.cached_tokens > 1000
    assert one.prompt_tokens == two.prompt_tokens, "OpenAI's count holds what came from the cache"


#: Makes the model think, and then call a tool.
LOOK = script("Look.", reasoning="I should look.", tool_calls=[{"name": "look", "arguments": {}}])


def test_signed_thinking_comes_back_through_its_own_protocol(acme: Caller) -> None:
    """The simulator refuses thinking whose signature is not its own."""
    asked: dict[str, Any] = {
        "model": "claude-haiku-4-5",
        "max_tokens": 2048,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [{"name": "look", "input_schema": {"type": "object", "properties": {}}}],
    }
    conversation: list[Any] = [{"role": "user", "content": LOOK}]
    with sdks.anthropic(acme).messages.stream(messages=conversation, **asked) as stream:
        first = stream.get_final_message()
    kinds = [block.type for block in first.content]
    assert (kinds[0], kinds[-1]) == ("thinking", "tool_use")
    assert first.content[0].thinking == "I should look."
    assert first.content[0].signature
    results = [{"type": "tool_result", "tool_use_id": first.content[-1].id, "content": "Nothing there."}]
    conversation += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    with sdks.anthropic(acme).messages.stream(messages=conversation, **asked) as stream:
        second = stream.get_final_message()
    assert "Nothing there." in "".join(block.text for block in second.content if block.type == "text")


def test_signed_thinking_comes_back_through_another_protocol(acme: Caller, simulator: Simulator) -> None:
    """The signature is in OpenAI's ``encrypted_content``, and reaches Converse as it was."""
    asked: dict[str, Any] = {
        "model": "claude-sonnet-4-5",
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "tools": [{"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}],
    }
    conversation: list[Any] = [{"role": "user", "content": LOOK}]
    with acme.openai.responses.stream(input=conversation, **asked) as stream:
        first = stream.get_final_response()
    thought, call = first.output
    assert thought.summary[0].text == "I should look."
    assert thought.encrypted_content
    conversation += [item.to_dict() for item in first.output]
    conversation.append({"type": "function_call_output", "call_id": call.call_id, "output": "Nothing there."})
    before = simulator.last_seq()
    with acme.openai.responses.stream(input=conversation, **asked) as stream:
        second = stream.get_final_response()
    assert "Nothing there." in second.output_text
    (sent,) = simulator.calls(before, "acme")
    reasoning = sent["request_body"]["messages"][1]["content"][0]["reasoningContent"]["reasoningText"]
    assert reasoning["text"] == "I should look."
    assert reasoning["signature"]
