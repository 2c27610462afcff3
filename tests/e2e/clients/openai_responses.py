"""Official OpenAI SDK: ``responses.stream``; the gateway keeps the conversation, as ``previous_response_id`` asks."""

from __future__ import annotations

import json

from openai import OpenAI
from openai.types.responses import ResponseInputItemParam

from conversation import BASE_URL, DESCRIPTION, FOLLOW_UP, MODEL, QUESTION, SCHEMA, TOKEN, TOOL, Report

client = OpenAI(base_url=BASE_URL, api_key=TOKEN, max_retries=0)
report = Report()
previous: str | None = None

for question in (QUESTION, FOLLOW_UP):
    items: list[ResponseInputItemParam] = [{"role": "user", "content": question}]
    while items:
        with client.responses.stream(
            model=MODEL,
            instructions="Be brief.",
            input=items,
            previous_response_id=previous,
            reasoning={"summary": "auto"},
            tools=[{
                "type": "function",
                "name": TOOL,
                "description": DESCRIPTION,
                "parameters": SCHEMA,
                "strict": True,
            }],
        ) as stream:
            for event in stream:
                if event.type == "response.output_text.delta":
                    report.pieces += 1
            response = stream.get_final_response()
        assert response.usage is not None
        report.stops.append(response.status)
        report.usage.append((response.usage.input_tokens, response.usage.output_tokens))
        previous = response.id
        items = [
            {
                "type": "function_call_output",
                "call_id": item.call_id,
                "output": report.call(json.loads(item.arguments)["city"]),
            }
            for item in response.output
            if item.type == "function_call"
        ]
    report.texts.append(response.output_text)
report.print()
