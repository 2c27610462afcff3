"""Official Anthropic SDK: ``messages.stream`` with thinking, prompt caching and tools."""

from __future__ import annotations

from anthropic import Anthropic
from anthropic.types import Message, MessageParam, ToolParam

from conversation import BASE_URL, DESCRIPTION, FOLLOW_UP, MAX_TOKENS, MODEL, QUESTION, SCHEMA, TOKEN, TOOL, Report

tool: ToolParam = {
    "name": TOOL,
    "description": DESCRIPTION,
    "input_schema": SCHEMA,
    "cache_control": {"type": "ephemeral", "ttl": "1h"},
}
client = Anthropic(base_url=BASE_URL, auth_token=TOKEN, max_retries=0)
report = Report()
messages: list[MessageParam] = []


def answer() -> Message:
    """Streams one answer and adds it to the conversation."""
    with client.messages.stream(
        model=MODEL,
        max_tokens=MAX_TOKENS,
        thinking={"type": "enabled", "budget_tokens": 1024},
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        tools=[tool],
        messages=messages,
    ) as stream:
        for event in stream:
            if event.type == "text":
                report.pieces += 1
        message = stream.get_final_message()
    report.stops.append(message.stop_reason)
    report.usage.append((message.usage.input_tokens, message.usage.output_tokens))
    messages.append({"role": "assistant", "content": message.content})
    return message


for question in (QUESTION, FOLLOW_UP):
    messages.append({"role": "user", "content": question})
    while (message := answer()).stop_reason == "tool_use":
        messages.append({
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": block.id, "content": report.call(block.input["city"])}
                for block in message.content
                if block.type == "tool_use"
            ],
        })
    report.texts.append("".join(block.text for block in message.content if block.type == "text"))
report.print()
