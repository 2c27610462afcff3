"""boto3: ``converse_stream`` with tools. The token goes where AWS's own bearer tokens go."""

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
    stream = client.converse_stream(
        modelId=MODEL,
        system=[{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
        messages=messages,
        inferenceConfig={"maxTokens": MAX_TOKENS},
        toolConfig={
            "tools": [{"toolSpec": {"name": TOOL, "description": DESCRIPTION, "inputSchema": {"json": SCHEMA}}}]
        },
        additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 1024}},
    )["stream"]
    blocks: dict[int, dict[str, Any]] = {}
    for event in stream:
        if start := event.get("contentBlockStart"):
            blocks[start["contentBlockIndex"]] = {"toolUse": {**start["start"]["toolUse"], "input": ""}}
        elif piece := event.get("contentBlockDelta"):
            add(blocks, piece["contentBlockIndex"], piece["delta"])
        elif stop := event.get("messageStop"):
            report.stops.append(stop["stopReason"])
        elif metadata := event.get("metadata"):
            report.usage.append((metadata["usage"]["inputTokens"], metadata["usage"]["outputTokens"]))
    content = [block for _, block in sorted(blocks.items())]
    for block in content:
        if call := block.get("toolUse"):
            call["input"] = json.loads(call["input"])
    messages.append({"role": "assistant", "content": content})
    return content


def add(blocks: dict[int, dict[str, Any]], index: int, delta: dict[str, Any]) -> None:
    """Adds a piece to its block."""
    if "text" in delta:
        report.pieces += 1
        block = blocks.setdefault(index, {"text": ""})
        block["text"] += delta["text"]
    elif "toolUse" in delta:
        blocks[index]["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "reasoningContent" in delta:
        block = blocks.setdefault(index, {"reasoningContent": {"reasoningText": {"text": ""}}})
        reasoning = block["reasoningContent"]["reasoningText"]
        reasoning["text"] += delta["reasoningContent"].get("text", "")
        if signature := delta["reasoningContent"].get("signature"):
            reasoning["signature"] = signature


for question in (QUESTION, FOLLOW_UP):
    messages.append({"role": "user", "content": [{"text": question}]})
    while calls := [block["toolUse"] for block in answer() if "toolUse" in block]:
        messages.append({
            "role": "user",
            "content": [
                {
                    "toolResult": {
                        "toolUseId": call["toolUseId"],
                        "content": [{"text": report.call(call["input"]["city"])}],
                        "status": "success",
                    }
                }
                for call in calls
            ],
        })
    report.texts.append("".join(block.get("text", "") for block in messages[-1]["content"]))
report.print()
