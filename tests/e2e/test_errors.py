"""Bad input is a clear 4xx, a failing model a clear 5xx: always OpenAI's error shape, and its own type in the SDK."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest

from ledger import Ledger
from simulator import Simulator, messages
from stack import Caller
from tenants import Tenants

#: A model that is translated and one that gets the caller's bytes, each for both tenants.
MODELS = ["nova-pro", "gpt-oss-120b"]
USER = {"role": "user", "content": "Hello."}


def error_of(answer: httpx2.Response) -> dict[str, Any]:
    """The error of an answer, whose shape is checked."""
    assert answer.headers["content-type"] == "application/json", answer.text
    body = answer.json()
    # What API Gateway answers by itself says the same to the other families' SDKs.
    assert set(body) in ({"error"}, {"error", "message", "type"})
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    assert body["error"]["type"]
    assert answer.headers["x-request-id"]
    return body["error"]


#: What is wrong, what replaces members of a good body, and the code, the field and a word of the answer.
BAD_BODIES: list[tuple[str, dict[str, Any], str, str | None, str]] = [
    ("no model", {"model": None}, "missing_required_parameter", "model", "GET /v1/models"),
    ("no messages", {"messages": None}, "missing_required_parameter", "messages", "at least one"),
    ("empty messages", {"messages": []}, "empty_array", "messages", "at least one"),
    ("messages no array", {"messages": "Hello."}, "invalid_type", "messages", "array"),
    ("a message no object", {"messages": ["Hello."]}, "invalid_type", "messages[0]", "object"),
    (
        "content a number",
        {"messages": [{"role": "user", "content": 1}]},
        "invalid_type",
        "messages[0].content",
        "string",
    ),
    ("unknown role", {"messages": [{"role": "robot", "content": "x"}]}, "invalid_value", "messages[0].role", "robot"),
    ("model a number", {"model": 7}, "invalid_type", "model", "string"),
    ("stream a string", {"stream": "yes"}, "invalid_type", "stream", "boolean"),
    ("max_tokens a string", {"max_tokens": "10"}, "invalid_type", "max_tokens", "integer"),
    ("max_tokens zero", {"max_tokens": 0}, "integer_below_min_value", "max_tokens", "at least 1"),
    ("max_tokens negative", {"max_tokens": -5}, "integer_below_min_value", "max_tokens", "at least 1"),
    ("max_tokens absurd", {"max_tokens": 10**9}, "integer_above_max_value", "max_tokens", "at most"),
    (
        "max_completion_tokens absurd",
        {"max_completion_tokens": 2**63},
        "integer_above_max_value",
        "max_completion_tokens",
        "at most",
    ),
    ("n absurd", {"n": 10**6}, "integer_above_max_value", "n", "at most 128"),
    (
        "options without stream",
        {"stream_options": {"include_usage": True}},
        "invalid_value",
        "stream_options",
        "stream",
    ),
]


@pytest.mark.parametrize(
    ("changes", "code", "param", "word"), [case[1:] for case in BAD_BODIES], ids=[case[0] for case in BAD_BODIES]
)
@pytest.mark.parametrize("model", MODELS)
def test_a_bad_body_is_refused_and_the_field_named(
    callers: dict[str, Caller],
    simulator: Simulator,
    model: str,
    changes: dict[str, Any],
    code: str,
    param: str | None,
    word: str,
) -> None:
    before = simulator.last_seq()
    body = {name: value for name, value in {"model": model, "messages": [USER], **changes}.items() if value is not None}
    for caller in callers.values():
        answer = caller.post_chat(body)
        assert answer.status_code == 400, answer.text
        error = error_of(answer)
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
        assert word in error["message"]
    assert simulator.last_seq() == before, "no model is called for a bad request"


BAD_BYTES = [
    ("empty", b"", "invalid_json"),
    ("no JSON", b"Hello.", "invalid_json"),
    ("cut off", b'{"model":"nova-pro","messages":[', "invalid_json"),
    ("trailing comma", b'{"model":"nova-pro","messages":[],}', "invalid_json"),
    ("an array", b"[]", "invalid_type"),
    (
        "a duplicate key",
        b'{"model":"nova-lite","model":"nova-pro","messages":[{"role":"user","content":"x"}]}',
        "duplicate_key",
    ),
    ("too deep", b'{"model":"nova-pro","messages":' + b"[" * 500 + b"]" * 500 + b"}", "invalid_json"),
    ("half a surrogate", b'{"model":"nova-pro","messages":[{"role":"user","content":"\\ud800"}]}', "invalid_json"),
]


@pytest.mark.parametrize(("body", "code"), [case[1:] for case in BAD_BYTES], ids=[case[0] for case in BAD_BYTES])
def test_bytes_that_are_no_request_are_refused(callers: dict[str, Caller], body: bytes, code: str) -> None:
    for caller in callers.values():
        answer = caller.post_chat(body)
        assert answer.status_code == 400, answer.text
        assert error_of(answer)["code"] == code


def test_invalid_utf8_is_refused(callers: dict[str, Caller], simulator: Simulator) -> None:
    body = b'{"model":"nova-pro","messages":[{"role":"user","content":"caf\xe9 \xff\xfe"}]}'
    before = simulator.last_seq()
    for caller in callers.values():
        answer = caller.post_chat(body)
        assert answer.status_code == 400, answer.text
        assert error_of(answer)["type"] == "invalid_request_error"
    assert simulator.last_seq() == before, "no model is called with text that nobody wrote"


def test_seven_megabytes_are_too_large(callers: dict[str, Caller]) -> None:
    body = {"model": "nova-pro", "messages": [{"role": "user", "content": "x" * (7 * 1024 * 1024)}]}
    for caller in callers.values():
        with pytest.raises(openai.APIStatusError) as raised:
            caller.openai.chat.completions.create(**body)
        assert raised.value.status_code == 413
        error = error_of(raised.value.response)
        assert (error["code"], "6 MB" in error["message"]) == ("request_too_large", True)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("data:image/png;base64,%%%not-base64%%%", "invalid_base64"),
        ("data:image/png;base64,", "invalid_base64"),
        ("data:image/tiff;base64,SUkqAA==", "unsupported_image_media_type"),
        ("https://example.com/cat.png", "unsupported_parameter"),
    ],
)
def test_a_bad_picture_is_refused(callers: dict[str, Caller], url: str, code: str) -> None:
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    for caller in callers.values():
        answer = caller.post_chat({"model": "nova-pro", "messages": [{"role": "user", "content": content}]})
        assert answer.status_code == 400, answer.text
        error = error_of(answer)
        # What only the provider cannot do is no fault of one field.
        param = None if code == "unsupported_parameter" else "messages[0].content[1].image_url.url"
        assert (error["code"], error["param"]) == (code, param)


def test_an_unknown_model_is_not_found(callers: dict[str, Caller]) -> None:
    for caller in callers.values():
        for model in ["gpt-5", "nova-pro ", "../nova-pro", "nova-pro#acme", "*"]:
            with pytest.raises(openai.NotFoundError, match="GET /v1/models") as raised:
                caller.openai.chat.completions.create(model=model, messages=[USER])
            error = error_of(raised.value.response)
            assert (error["code"], error["param"]) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/chat/completions", 405),
        ("DELETE", "/chat/completions", 405),
        ("POST", "/models", 405),
        ("GET", "/engines", 404),
        ("POST", "/chat/completion", 404),
        ("POST", "/chat/completions/extra", 404),
        ("PUT", "/", 404),
        ("GET", "/models/nova-pro/../../..", 404),
    ],
)
def test_an_unknown_route_or_method_is_named(callers: dict[str, Caller], method: str, path: str, status: int) -> None:
    for caller in callers.values():
        answer = caller.send(method, path)
        assert answer.status_code == status, answer.text
        error = error_of(answer)
        assert error["type"] == "invalid_request_error"
        assert method in error["message"]


@pytest.mark.parametrize(
    ("exception", "status", "type_", "code"),
    [
        ("ValidationException", 400, openai.BadRequestError, "invalid_value"),
        ("AccessDeniedException", 403, openai.PermissionDeniedError, "model_access_denied"),
        ("ResourceNotFoundException", 404, openai.NotFoundError, "model_not_found"),
        ("ThrottlingException", 429, openai.RateLimitError, "rate_limit_exceeded"),
        ("ModelErrorException", 502, openai.InternalServerError, "model_error"),
        ("InternalServerException", 502, openai.InternalServerError, "provider_error"),
        ("ServiceUnavailableException", 503, openai.InternalServerError, "provider_unavailable"),
        ("ModelTimeoutException", 504, openai.InternalServerError, "provider_timeout"),
    ],
)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_failing_provider_is_a_typed_error_with_a_real_status(
    callers: dict[str, Caller],
    ledger: Ledger,
    model: str,
    is_streamed: bool,
    exception: str,
    status: int,
    type_: type[openai.APIStatusError],
    code: str,
) -> None:
    for caller in callers.values():
        script = {"error": {"exception": exception, "message": "an inner matter of the provider"}}
        with pytest.raises(type_) as raised:
            caller.openai.chat.completions.create(model=model, messages=messages(**script), stream=is_streamed)
        assert raised.value.status_code == status
        error = error_of(raised.value.response)
        assert error["code"] == code
        is_about_the_request = exception == "ValidationException"
        assert ("inner matter" in error["message"]) == is_about_the_request
        record = ledger.record(caller, str(raised.value.request_id))
        if exception == "ModelTimeoutException":
            assert (record["is_estimated"], record["cost_nanousd"]) == (True, record["reserved_nanousd"])
        else:
            assert record["cost_nanousd"] == 0, "the provider bills no answer that it did not begin"


def test_a_limit_of_requests_says_when_to_come_back(tenants: Tenants, globex: Caller, simulator: Simulator) -> None:
    caller = tenants.tenant(tenants.lob(), ["nova-lite"], requests_per_minute=3)
    before = simulator.last_seq()
    create = caller.openai.chat.completions.with_raw_response.create
    with pytest.raises(openai.RateLimitError, match="3 .requests per minute.*anew at 20") as raised:
        for _ in range(7):  # two minutes of it, should one begin in between
            answer = create(model="nova-lite", messages=messages())
            assert answer.headers["x-ratelimit-limit-requests"] == "3"
    error = error_of(raised.value.response)
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert caller.tenant_id in error["message"]
    assert 1 <= int(raised.value.response.headers["retry-after"]) <= 60
    assert 3 <= len(simulator.calls(before, caller.tenant_id)) <= 6
    globex.openai.chat.completions.create(model="nova-lite", messages=messages())


def test_a_call_that_can_never_fit_says_so(tenants: Tenants, acme: Caller) -> None:
    caller = tenants.tenant(tenants.lob(), ["nova-lite"], tokens_per_minute=1000)
    with pytest.raises(
        openai.RateLimitError, match="can never fit.*1000 .tokens per minute.*Lower max_tokens"
    ) as raised:
        caller.openai.chat.completions.create(model="nova-lite", messages=messages(), max_tokens=2000)
    assert error_of(raised.value.response)["type"] == "tokens"
    assert raised.value.response.headers["x-should-retry"] == "false"
    acme.openai.chat.completions.create(model="nova-lite", messages=messages(), max_tokens=2000)


def test_no_error_says_more_than_its_caller_may_know(callers: dict[str, Caller]) -> None:
    """No stack trace, ARN, table or endpoint of the gateway's."""
    for caller in callers.values():
        texts = [
            caller.post_chat(b"{").text,
            caller.post_chat(
                {"model": "nova-pro", "messages": messages(error={"exception": "InternalServerException"})}
            ).text,
            caller.send("GET", "/nothing").text,
        ]
        for text in texts:
            assert json.loads(text)["error"]
            for secret in ["arn:", "127.0.0.1", "panicked", caller.stack.outputs["LedgerTableName"], "x-amz"]:
                assert secret not in text
