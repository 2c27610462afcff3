"""boto3: ``invoke_model_with_response_stream`` with a body in Anthropic's format, as Bedrock takes it for Claude."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3

from conversation import BASE_URL, DESCRIPTION, FOLLOW_UP, MAX_TOKENS, MODEL, QUESTION, REGION, SCHEMA, TOKEN, TOOL, Report

os.environ["AWS_BEARER_TOKEN_BEDROCK"] = TOKEN
client = boto3.client("bedrock-runtime", endpoint_url=BASE_URL, region_name=REGION)
report = Report()
messages: list[dict[str, Any]] = []


def answer() -> list[dict[str, Any]]:
    """Streams one answer, adds it to the conversation and returns its content."""
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": MAX_TOKENS,
        "system": "Be brief.",
        "tools": [{"name": TOOL, "description": DESCRIPTION, "input_schema": SCHEMA}],
        "messages": messages,
    }
    chunks = client.invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(body))["body"]
    content: list[dict[str, Any]] = []
    arguments = ""
    input_tokens = 0
    for chunk in chunks:
        event = json.loads(chunk["chunk"]["bytes"])
        match event["type"]:
            case "message_start":
                input_tokens = event["message"]["usage"]["input_tokens"]
            case "content_block_start":
                content.append(event["content_block"])
                arguments = ""
            case "content_block_delta" if event["delta"]["type"] == "text_delta":
                report.pieces += 1
                content[-1]["text"] += event["delta"]["text"]
            case "content_block_delta" if event["delta"]["type"] == "input_json_delta":
                arguments += event["delta"]["partial_json"]
            case "content_block_stop" if content[-1]["type"] == "tool_use":
                content[-1]["input"] = json.loads(arguments)
            case "message_delta":
                report.stops.append(event["delta"]["stop_reason"])
                report.usage.append((input_tokens, event["usage"]["output_tokens"]))
    messages.append({"role": "assistant", "content": content})
    return content


for question in (QUESTION, FOLLOW_UP):
    messages.append({"role": "user", "content": question})
    while calls := [block for block in answer() if block["type"] == "tool_use"]:
        messages.append({
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": call["id"], "content": report.call(call["input"]["city"])}
                for call in calls
            ],
        })
    report.texts.append("".join(block.get("text", "") for block in messages[-1]["content"]))
report.print()
