"""Official OpenAI SDK: ``chat.completions.stream`` with tools."""

from __future__ import annotations

import json

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam, ParsedChatCompletion

from conversation import BASE_URL, DESCRIPTION, FOLLOW_UP, MODEL, QUESTION, SCHEMA, TOKEN, TOOL, Report

client = OpenAI(base_url=BASE_URL, api_key=TOKEN, max_retries=0)
report = Report()
messages: list[ChatCompletionMessageParam] = [{"role": "developer", "content": "Be brief."}]


def answer() -> ParsedChatCompletion[None]:
    """Streams one answer and adds it to the conversation."""
    with client.chat.completions.stream(
        model=MODEL,
        messages=messages,
        tools=[{
            "type": "function",
            "function": {"name": TOOL, "description": DESCRIPTION, "parameters": SCHEMA, "strict": True},
        }],
        stream_options={"include_usage": True},
    ) as stream:
        for event in stream:
            if event.type == "content.delta":
                report.pieces += 1
        completion = stream.get_final_completion()
    assert completion.usage is not None
    report.stops.append(completion.choices[0].finish_reason)
    report.usage.append((completion.usage.prompt_tokens, completion.usage.completion_tokens))
    messages.append(completion.choices[0].message)
    return completion


for question in (QUESTION, FOLLOW_UP):
    messages.append({"role": "user", "content": question})
    while calls := answer().choices[0].message.tool_calls:
        for call in calls:
            city = json.loads(call.function.arguments)["city"]
            messages.append({"role": "tool", "tool_call_id": call.id, "content": report.call(city)})
    report.texts.append(messages[-1].content)
report.print()
