"""LangChain: ``.stream`` of a chat model with ``bind_tools``. The first argument chooses the integration."""

from __future__ import annotations

import os
import sys

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool

from conversation import BASE_URL, DESCRIPTION, FOLLOW_UP, MAX_TOKENS, MODEL, QUESTION, REGION, TOKEN, Report

report = Report()


@tool(description=DESCRIPTION)
def get_weather(city: str) -> str:
    """The tool; LangChain derives its schema from this signature."""
    return report.call(city)


def chat_model(integration: str) -> BaseChatModel:
    """The model, through one of the integrations."""
    match integration:
        case "openai":
            from langchain_openai import ChatOpenAI

            return ChatOpenAI(base_url=BASE_URL, api_key=TOKEN, model=MODEL, max_retries=0, stream_usage=True)
        case "openai-responses":
            from langchain_openai import ChatOpenAI

            return ChatOpenAI(
                base_url=BASE_URL,
                api_key=TOKEN,
                model=MODEL,
                max_retries=0,
                use_responses_api=True,
                store=False,
                include=["reasoning.encrypted_content"],
                reasoning={"summary": "auto"},
            )
        case "anthropic":
            from langchain_anthropic import ChatAnthropic

            return ChatAnthropic(
                base_url=BASE_URL,
                api_key=TOKEN,
                model=MODEL,
                max_retries=0,
                max_tokens=MAX_TOKENS,
                thinking={"type": "enabled", "budget_tokens": 1024},
            )
        case "aws":
            from langchain_aws import ChatBedrockConverse

            os.environ["AWS_BEARER_TOKEN_BEDROCK"] = TOKEN
            return ChatBedrockConverse(
                base_url=BASE_URL, model=MODEL, provider="anthropic", region_name=REGION, max_tokens=MAX_TOKENS
            )
    raise ValueError(f"no integration {integration}")


model = chat_model(sys.argv[1]).bind_tools([get_weather])
messages: list[BaseMessage] = [SystemMessage("Be brief.")]


def answer() -> AIMessageChunk:
    """Streams one answer and adds it to the conversation."""
    whole: AIMessageChunk | None = None
    for chunk in model.stream(messages):
        report.pieces += bool(chunk.text)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.usage_metadata is not None
    stops = (whole.response_metadata.get(key) for key in ("finish_reason", "stop_reason", "stopReason", "status"))
    report.stops.append(next((stop for stop in stops if stop), None))
    report.usage.append((whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]))
    messages.append(whole)
    return whole


for question in (QUESTION, FOLLOW_UP):
    messages.append(HumanMessage(question))
    while calls := answer().tool_calls:
        messages.extend(get_weather.invoke(call) for call in calls)
    report.texts.append(messages[-1].text)
report.print()
