"""Each SDK raises its own right exception, whatever refuses the call: the authorizer, the gateway or the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import botocore.exceptions
import openai
import pytest

import sdks
from front import Front
from programs import NODE_CLIENTS, run
from simulator import script
from stack import Caller, Stack
from tenants import Tenants

MODEL = "claude-haiku-4-5"
BAD_SCHEMA = "none"
BREAK = script("Hello.", chunks=["One, ", "two"], error_after_chunks=1)
#: What is wrong with a call, and the status by which it is known.
CASES = {"bad schema": 400, "bad token": 401, "viewer": 403, "no such model": 404, "limit": 429, "throttled": 429}
#: Seconds after which a model that has too much to do wants to be asked again.
RETRY_AFTER_S = 7
#: Why a stream breaks off after it began.
MID_STREAM = "stream"


@dataclass(frozen=True)
class Wrong:
    """A call with something wrong with it."""

    caller: Caller
    model: str = MODEL
    schema: str | None = None
    text: str = "Hello."


@pytest.fixture(scope="module")
def wrong(stack: Stack, acme: Caller) -> Iterator[dict[str, Wrong]]:
    """Every case."""
    tenants = Tenants(stack)
    # The day's tokens are used up by one call; a limit per minute would be new in the next one.
    tenant = tenants.tenant(tenants.lob(), [MODEL], tokens_per_day=5700)
    text = script("Hello.", usage={"input": 300, "output": 4990})
    tenant.openai.chat.completions.create(
        model=MODEL, max_tokens=5000, messages=[{"role": "user", "content": text}]
    )
    yield {
        "bad schema": Wrong(acme, schema=BAD_SCHEMA),
        "bad token": Wrong(Caller(stack, acme.tenant_id, acme.lob_id, acme.token[:-8] + "AAAAAAAA")),
        "viewer": Wrong(stack.person("acme", "viewer")),
        "no such model": Wrong(acme, model="claude-opus-4-5"),
        "limit": Wrong(tenant),
        "throttled": Wrong(acme, text=script("Hello.", error={"status": 429, "retry_after": RETRY_AFTER_S})),
    }
    tenants.forget()


def check_waits(case: str, headers: Mapping[str, str]) -> None:
    """When to ask again: what SDKs retry by. The gateway adds a little, so that not all come back at once."""
    if case == "throttled":
        assert RETRY_AFTER_S <= int(headers["retry-after"]) <= RETRY_AFTER_S + 3
    else:
        assert "retry-after" not in headers
    if case == "limit":
        assert headers["x-should-retry"] == "false", "the day is long"


OPENAI = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
}
ANTHROPIC = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    429: anthropic.RateLimitError,
}
AWS = {
    400: "ValidationException",
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
}


def chat(wrong: Wrong) -> Any:
    """Streams a chat completion to its end."""
    function = {"name": "look", "parameters": wrong.schema or {"type": "object", "properties": {}}}
    asked: Any = {"tools": [{"type": "function", "function": function}]}
    create = wrong.caller.openai.chat.completions.create
    return list(create(model=wrong.model, messages=[{"role": "user", "content": wrong.text}], stream=True, **asked))


def responses(wrong: Wrong) -> Any:
    """Streams a response to its end."""
    parameters = wrong.schema or {"type": "object", "properties": {}}
    tools: Any = [{"type": "function", "name": "look", "parameters": parameters}]
    with wrong.caller.openai.responses.stream(model=wrong.model, input=wrong.text, tools=tools) as stream:
        return stream.get_final_response()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ask", [chat, responses])
def test_openai_raises_its_own(wrong: dict[str, Wrong], case: str, ask: Callable[[Wrong], Any]) -> None:
    with pytest.raises(OPENAI[CASES[case]]) as raised:
        ask(wrong[case])
    assert raised.value.status_code == CASES[case]
    assert raised.value.message
    assert raised.value.body["message"]
    check_waits(case, raised.value.response.headers)


def test_openai_raises_an_error_of_a_stream(acme: Caller) -> None:
    with pytest.raises(openai.APIError) as raised:
        chat(Wrong(acme, text=BREAK))
    assert not isinstance(raised.value, openai.APIStatusError)


def test_openai_tells_of_an_error_of_a_streamed_response(acme: Caller) -> None:
    """An event like any other, for which the SDK has a type and no exception."""
    *_, last = acme.openai.responses.create(model=MODEL, input=BREAK, stream=True)
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert last.response.error.message


def messages(wrong: Wrong) -> Any:
    """Streams an answer of Anthropic's API to its end."""
    tools: Any = [{"name": "look", "input_schema": wrong.schema or {"type": "object", "properties": {}}}]
    asked: Any = {"model": wrong.model, "max_tokens": 100, "tools": tools}
    client = sdks.anthropic(wrong.caller)
    with client.messages.stream(messages=[{"role": "user", "content": wrong.text}], **asked) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("case", CASES)
def test_anthropic_raises_its_own(wrong: dict[str, Wrong], case: str) -> None:
    with pytest.raises(ANTHROPIC[CASES[case]]) as raised:
        messages(wrong[case])
    assert raised.value.status_code == CASES[case]
    assert raised.value.body["error"]["message"]
    assert raised.value.request_id
    check_waits(case, raised.value.response.headers)


def test_anthropic_raises_an_error_of_a_stream(acme: Caller) -> None:
    with pytest.raises(anthropic.APIStatusError) as raised:
        messages(Wrong(acme, text=BREAK))
    assert raised.value.body["type"] == "error"


def converse(wrong: Wrong, tls: Front) -> Any:
    """Streams an answer of Bedrock's API to its end."""
    schema = {"json": wrong.schema or {"type": "object", "properties": {}}}
    asked = {"modelId": wrong.model, "messages": [{"role": "user", "content": [{"text": wrong.text}]}]}
    tools = {"tools": [{"toolSpec": {"name": "look", "inputSchema": schema}}]}
    with sdks.bedrock(wrong.caller, tls) as client:
        return list(client.converse_stream(**asked, toolConfig=tools)["stream"])


@pytest.mark.parametrize("case", CASES)
def test_boto3_raises_its_own(wrong: dict[str, Wrong], tls: Front, case: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        converse(wrong[case], tls)
    answer = raised.value.response
    assert type(raised.value).__name__ == answer["Error"]["Code"] == AWS[CASES[case]]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == CASES[case]
    assert answer["Error"]["Message"]
    assert answer["ResponseMetadata"]["RequestId"]
    check_waits(case, answer["ResponseMetadata"]["HTTPHeaders"])


def test_boto3_raises_an_error_of_a_stream(acme: Caller, tls: Front) -> None:
    with pytest.raises(botocore.exceptions.EventStreamError) as raised:
        converse(Wrong(acme, text=BREAK), tls)
    assert raised.value.response["Error"]["Code"].endswith("Exception")


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_typescript_sdks_raise_their_own(wrong: dict[str, Wrong], acme: Caller, tmp_path: Path, sdk: str) -> None:
    """All cases in one program, which prints the class of each error."""
    calls = [
        {"case": case, "token": it.caller.token, "model": it.model, "schema": it.schema, "text": it.text}
        for case, it in wrong.items()
    ]
    calls.append({"case": MID_STREAM, "token": acme.token, "model": MODEL, "schema": None, "text": BREAK})
    base_url = acme.stack.base_url if sdk == "openai" else sdks.origin(acme)
    printed = run(
        ["node", str(NODE_CLIENTS / "errors.mjs"), sdk],
        tmp_path,
        WEIR_BASE_URL=base_url,
        WEIR_CALLS=json.dumps(calls),
    )
    classes = {400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError"}
    classes |= {404: "NotFoundError", 429: "RateLimitError"}
    raised = json.loads(printed.splitlines()[-1])
    assert raised.pop(MID_STREAM)["class"] == "APIError"
    for case, error in raised.items():
        check_waits(case, error.pop("headers"))
    assert raised == {case: {"class": classes[status], "status": status} for case, status in CASES.items()}
