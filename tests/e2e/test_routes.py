"""Every operation of the API's document, one by one, against everything that must hold for all of them.

``SAMPLES`` has a request for each: a new route that is not walked here fails the first test. All requests are plain
HTTP, so that the shapes of answers are seen, not what an SDK makes of them.
"""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import yaml

from catalog import Catalog
from ledger import Ledger
from simulator import Simulator
from stack import ROOT, Caller, Stack
from tenants import Tenants
from waiting import until

DOCUMENT = yaml.safe_load((ROOT / "infra/openapi.yaml").read_text(encoding="utf-8"))
METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}
#: (method, path) of every operation, without what only catches mistakes.
OPERATIONS = {
    (method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item if method in METHODS
}

Json = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """A good request of one operation."""

    method: str
    path: str
    #: The body for a model and a text; ``None`` if the operation takes none.
    body: Callable[[str, str], Json] | None = None
    #: What calls a model has one, and a dialect in its usage records.
    model: str | None = None
    dialect: str | None = None
    is_priced: bool = True
    #: Provider calls that it takes.
    calls: int = 1
    #: What is billed and not counted in tokens, or the reverse.
    units: Json = field(default_factory=dict)
    #: Whether the path names something of the tenant's: a ``response`` or a ``file``.
    touches: str | None = None

    @property
    def family(self) -> str:
        """Whose SDKs read the answer."""
        if self.path.startswith("/bedrock/"):
            return "aws"
        return "anthropic" if self.path.startswith("/v1/messages") else "openai"

    @property
    def operation(self) -> tuple[str, str]:
        """What the document calls it."""
        return self.method, self.path

    def __str__(self) -> str:
        return f"{self.method} {self.path}" + (f" ({self.model})" if self.model else "")


def _turn(text: str) -> list[Json]:
    return [{"role": "user", "content": text}]


def _converse(_: str, text: str) -> Json:
    return {"messages": [{"role": "user", "content": [{"text": text}]}], "inferenceConfig": {"maxTokens": 50}}


def _claude(_: str, text: str) -> Json:
    return {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "messages": _turn(text)}


def _chat(model: str, text: str) -> Json:
    return {"model": model, "messages": _turn(text), "max_tokens": 50}


def _responses(model: str, text: str) -> Json:
    return {"model": model, "input": text, "max_output_tokens": 50}


def _embeddings(model: str, text: str) -> Json:
    return {"model": model, "input": text}


def _three_embeddings(model: str, text: str) -> Json:
    return {"model": model, "input": [text, f"{text} 2", f"{text} 3"]}


def _rerank(model: str, text: str) -> Json:
    return {"model": model, "query": text, "documents": ["one", "two"]}


def _messages(model: str, text: str) -> Json:
    return {"model": model, "max_tokens": 50, "messages": _turn(text)}


def _count(model: str, text: str) -> Json:
    return {"model": model, "messages": _turn(text)}


def _picture(_: str, text: str) -> Json:
    return {
        "taskType": "TEXT_IMAGE",
        "textToImageParams": {"text": text},
        "imageGenerationConfig": {"numberOfImages": 2, "width": 512, "height": 512},
    }


CHAT, CONVERSE, INVOKE = "openai.chat_completions", "aws.bedrock.converse", "aws.bedrock.invoke_model"
#: A guardrail is registered like a model; the seed has none.
GUARDRAIL = "e2eguardrail"
BEDROCK_MODEL = "/bedrock/model/{id}"
SAMPLES = [
    # Of one operation those that differ in what is behind them: each kind of provider, each protocol.
    Sample("POST", "/v1/chat/completions", _chat, "nova-pro", CHAT),
    Sample("POST", "/v1/chat/completions", _chat, "gpt-oss-120b", CHAT),
    Sample("POST", "/v1/chat/completions", _chat, "sagemaker-chat", CHAT),
    Sample("POST", "/v1/chat/completions", _chat, "vllm-llama", CHAT),
    Sample("POST", "/v1/responses", _responses, "gpt-oss-120b", "openai.responses"),
    Sample("GET", "/v1/responses/{id}", touches="response"),
    Sample("DELETE", "/v1/responses/{id}", touches="response"),
    Sample("GET", "/v1/responses/{id}/input_items", touches="response"),
    Sample("POST", "/v1/embeddings", _three_embeddings, "titan-embed-v2", "openai.embeddings", calls=3),
    Sample("POST", "/v1/embeddings", _embeddings, "cohere-embed-v4", "openai.embeddings"),
    Sample("POST", "/v1/embeddings", _embeddings, "vllm-embed", "openai.embeddings"),
    Sample("POST", "/v1/rerank", _rerank, "cohere-rerank-3-5", "cohere.rerank", units={"search_units": 1, "input": 0}),
    Sample("POST", "/v1/rerank", _rerank, "vllm-rerank", "cohere.rerank"),
    Sample("POST", "/v1/messages", _messages, "claude-haiku-4-5", "anthropic.messages"),
    Sample(
        "POST", "/v1/messages/count_tokens", _count, "claude-haiku-4-5", "anthropic.count_tokens", is_priced=False
    ),
    Sample("GET", "/v1/models"),
    Sample("GET", "/v1/models/{id}"),
    Sample("POST", "/v1/files", lambda _, text: {"media_type": "image/png", "bytes": 100, "filename": text}),
    Sample("GET", "/v1/files/{id}", touches="file"),
    Sample("DELETE", "/v1/files/{id}", touches="file"),
    # What they answer to whom is test_usage.py's.
    Sample("GET", "/v1/usage"),
    Sample("GET", "/v1/usage/limits"),
    Sample("GET", "/v1/usage/records/{call_id}"),
    Sample("GET", "/v1/limits/{scope+}"),
    Sample("PUT", "/v1/limits/{scope+}"),
    Sample("POST", "/v1/limits/{scope+}"),
    # And of these test_billing.py's.
    *(
        Sample(method, f"/v1/{path}")
        for method, path in [
            ("GET", "statements"),
            ("GET", "statements/{period}"),
            ("POST", "statements/{period}/draft"),
            ("GET", "months"),
            ("GET", "months/{period}"),
            ("POST", "months/{period}/close"),
            ("GET", "billing/entries"),
            ("POST", "billing/entries"),
            ("GET", "billing/plans"),
            ("PUT", "billing/plans"),
            ("GET", "reconciliations"),
            ("GET", "reconciliations/{period}"),
            ("POST", "reconciliations/{period}"),
            ("GET", "prices"),
            ("GET", "prices/overrides"),
            ("PUT", "prices/overrides/{version}"),
            ("DELETE", "prices/overrides/{version}"),
        ]
    ),
    # And of these test_audit.py's.
    Sample("GET", "/v1/audit"),
    Sample("GET", "/v1/audit/verify"),
    # And of these test_models.py's.
    Sample("GET", "/v1/registry/models"),
    Sample("GET", "/v1/registry/models/{model_id}"),
    Sample("PUT", "/v1/registry/models/{model_id}"),
    Sample("GET", "/v1/registry/models/{model_id}/history"),
    Sample("POST", "/v1/registry/models/{model_id}/rollback"),
    Sample("POST", "/v1/registry/models/{model_id}/stage"),
    Sample("POST", "/v1/registry/import"),
    Sample("GET", "/v1/registry/aliases"),
    Sample("GET", "/v1/registry/aliases/{alias}"),
    Sample("PUT", "/v1/registry/aliases/{alias}"),
    Sample("DELETE", "/v1/registry/aliases/{alias}"),
    Sample("GET", "/v1/registry/aliases/{alias}/history"),
    Sample("POST", "/v1/registry/aliases/{alias}/rollback"),
    Sample("POST", "/v1/registry/aliases/{alias}/deploy"),
    # And of these test_tasks.py's.
    Sample("GET", "/v1/tasks"),
    Sample("POST", "/v1/tasks"),
    Sample("GET", "/v1/tasks/{task_id}"),
    Sample("POST", "/v1/tasks/{task_id}/cancel"),
    Sample("POST", "/v1/tasks/{task_id}/credentials"),
    Sample("GET", "/v1/tasks/{task_id}/evidence"),
    # And of these test_tenants.py's.
    *(
        Sample(method, f"/v1/{path}")
        for method, path in [
            ("GET", "lobs"),
            ("GET", "lobs/{lob_id}"),
            ("PUT", "lobs/{lob_id}"),
            ("GET", "tenants"),
            ("GET", "tenants/{tenant_id}"),
            ("PUT", "tenants/{tenant_id}"),
            ("GET", "tenants/{tenant_id}/history"),
            ("POST", "tenants/{tenant_id}/rollback"),
            ("POST", "tenants/{tenant_id}/suspend"),
            ("POST", "tenants/{tenant_id}/resume"),
            ("GET", "tenants/{tenant_id}/users"),
            ("PUT", "tenants/{tenant_id}/users/{username}"),
            ("DELETE", "tenants/{tenant_id}/users/{username}"),
            ("GET", "tenants/{tenant_id}/clients"),
            ("POST", "tenants/{tenant_id}/clients"),
            ("DELETE", "tenants/{tenant_id}/clients/{client_id}"),
            ("POST", "tenants/{tenant_id}/clients/{client_id}/rotate"),
            ("GET", "tenants/{tenant_id}/aws-roles"),
            ("PUT", "tenants/{tenant_id}/aws-roles/{account_id}/{role_name}"),
            ("DELETE", "tenants/{tenant_id}/aws-roles/{account_id}/{role_name}"),
            ("GET", "tenants/{tenant_id}/model-requests"),
            ("POST", "tenants/{tenant_id}/model-requests"),
            ("POST", "tenants/{tenant_id}/model-requests/{request_id}/approve"),
            ("POST", "tenants/{tenant_id}/model-requests/{request_id}/reject"),
            ("GET", "tenants/{tenant_id}/issuers"),
            ("GET", "tenants/{tenant_id}/issuers/{issuer_id}"),
            ("PUT", "tenants/{tenant_id}/issuers/{issuer_id}"),
            ("DELETE", "tenants/{tenant_id}/issuers/{issuer_id}"),
            ("GET", "issuers"),
            ("GET", "issuers/{issuer_id}"),
            ("PUT", "issuers/{issuer_id}"),
            ("DELETE", "issuers/{issuer_id}"),
        ]
    ),
    Sample("POST", f"{BEDROCK_MODEL}/converse", _converse, "nova-pro", CONVERSE),
    Sample("POST", f"{BEDROCK_MODEL}/converse-stream", _converse, "nova-pro", CONVERSE),
    Sample("POST", f"{BEDROCK_MODEL}/invoke", _claude, "claude-haiku-4-5", INVOKE),
    Sample("POST", f"{BEDROCK_MODEL}/invoke", _picture, "nova-canvas", INVOKE, units={"images": 2}),
    Sample("POST", f"{BEDROCK_MODEL}/invoke-with-response-stream", _claude, "claude-haiku-4-5", INVOKE),
    Sample(
        "POST",
        f"{BEDROCK_MODEL}/count-tokens",
        lambda _, text: {"input": {"converse": {"messages": [{"role": "user", "content": [{"text": text}]}]}}},
        "claude-haiku-4-5",
        "aws.bedrock.count_tokens",
        is_priced=False,
    ),
    Sample(
        "POST",
        "/bedrock/guardrail/{id}/version/{version}/apply",
        lambda _, text: {"source": "INPUT", "content": [{"text": {"text": text}}]},
        GUARDRAIL,
        "aws.bedrock.apply_guardrail",
        units={"guardrail_units": 1},
    ),
]
#: Those that answer in SCIM's form: test_scim.py's, and every role's in tests/isolation.
SCIM = [
    *(
        Sample("GET", f"/scim/v2/{path}")
        for path in ("ServiceProviderConfig", "ResourceTypes", "ResourceTypes/{id}", "Schemas", "Schemas/{id}")
    ),
    Sample("POST", "/scim/v2/.search"),
    *(
        Sample(method, f"/scim/v2/{collection}{path}")
        for collection in ("Users", "Groups")
        for method, path in [
            ("GET", ""),
            ("POST", ""),
            ("POST", "/.search"),
            *((method, "/{id}") for method in ("GET", "PUT", "PATCH", "DELETE")),
        ]
    ),
]
#: One of each operation, for what does not depend on the model.
OF_EACH = list({sample.operation: sample for sample in reversed(SAMPLES)}.values())[::-1]
MODELS = sorted({sample.model for sample in SAMPLES if sample.model})

#: An error's type by status, for each family; a spent budget and a full minute are told apart.
TYPES: dict[str | int, dict[str, str]] = {
    400: {"openai": "invalid_request_error", "anthropic": "invalid_request_error", "aws": "ValidationException"},
    403: {"openai": "permission_error", "anthropic": "permission_error", "aws": "AccessDeniedException"},
    404: {"openai": "invalid_request_error", "anthropic": "not_found_error", "aws": "ResourceNotFoundException"},
    405: {"openai": "invalid_request_error", "anthropic": "invalid_request_error", "aws": "ValidationException"},
    413: {"openai": "invalid_request_error", "anthropic": "request_too_large", "aws": "ValidationException"},
    "requests": {"openai": "requests", "anthropic": "rate_limit_error", "aws": "ThrottlingException"},
    "quota": {"openai": "insufficient_quota", "anthropic": "billing_error", "aws": "ServiceQuotaExceededException"},
}


def walk(samples: list[Sample]) -> pytest.MarkDecorator:
    """A test for each of ``samples``."""
    return pytest.mark.parametrize("sample", samples, ids=str)


def error_of(answer: httpx2.Response, sample: Sample, status: int, kind: str | int | None = None) -> str:
    """The message of an error, whose status, shape, type and headers are checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body, type_ = answer.json(), TYPES[kind or status][sample.family]
    if sample.family == "aws":
        assert set(body) == {"message"}
        assert answer.headers["x-amzn-errortype"] == type_
        return body["message"]
    error = body["error"]
    assert error["type"] == type_
    if sample.family == "anthropic":
        assert (set(body), body["type"], set(error)) == ({"type", "error", "request_id"}, "error", {"type", "message"})
        assert body["request_id"] == answer.headers["request-id"]
    else:
        assert (set(body), set(error)) == ({"error"}, {"message", "type", "param", "code"})
    assert answer.headers["x-request-id"]
    return error["message"]


def gateway_error_of(answer: httpx2.Response, status: int, exception: str) -> str:
    """The message of an error by which API Gateway itself answers: in one shape that all SDKs can read."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-amzn-errortype"] == exception
    assert answer.headers["x-request-id"]
    body = answer.json()
    assert (set(body), body["type"]) == ({"type", "error", "message"}, "error")
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"] == body["message"]
    return body["message"]


class World:
    """Tenants in every condition, and how to call as them."""

    def __init__(self, stack: Stack, tenants: Tenants) -> None:
        self.stack, self._tenants = stack, tenants

    def _tenant(self, models: list[str], **limits: int) -> Caller:
        return self._tenants.tenant(self._tenants.lob(), models, **limits)

    @cached_property
    def tenant(self) -> Caller:
        """It may use every model."""
        return self._tenant(MODELS)

    @cached_property
    def other(self) -> Caller:
        """It may use none of them."""
        return self._tenant(["claude-opus-4-5"])

    @cached_property
    def suspended(self) -> Caller:
        """It was active until its token was made."""
        caller = self._tenant(MODELS)
        self._tenants.change(f"TENANT#{caller.tenant_id}", status="suspended")
        return caller

    @cached_property
    def hurried(self) -> Caller:
        """It may make one request per minute."""
        return self._tenant(MODELS, requests_per_minute=1)

    @cached_property
    def broke(self) -> Caller:
        """Its budget is spent, but for too little for any call."""
        caller = self._tenant(MODELS, budget_per_month=10_000_000_000)
        chat = next(sample for sample in SAMPLES if sample.model == "nova-pro")
        assert self.ask(caller, chat).status_code == 200
        key = {"PK": f"TENANT#{caller.tenant_id}", "SK": "METER"}
        meter = self.stack.table("LedgerTableName")
        until(lambda: not meter.get_item(Key=key, ConsistentRead=True)["Item"]["open"], "the call to be settled")
        spent = "SET usd_month = :spent"
        meter.update_item(Key=key, UpdateExpression=spent, ExpressionAttributeValues={":spent": 9_999_999_999})
        return caller

    @cached_property
    def viewer(self) -> Caller:
        """Somebody who may look, and call no model."""
        return self.stack.person("acme", "viewer")

    @cached_property
    def others_things(self) -> dict[str, str]:
        """What another tenant has, by kind."""
        caller = self._tenant(MODELS)
        return {kind: self.thing(caller, kind) for kind in ("response", "file")}

    def thing(self, caller: Caller, kind: str) -> str:
        """The id of something new of the caller's tenant."""
        path = {"response": "/v1/responses", "file": "/v1/files"}[kind]
        sample = next(sample for sample in SAMPLES if sample.operation == ("POST", path))
        answer = self.ask(caller, sample)
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    def url(self, sample: Sample, thing: str | None = None, model: str | None = None) -> str:
        """Where a sample goes."""
        named = thing or model or sample.model or "nova-pro"
        path = sample.path.replace("{id}", quote(named, safe="")).replace("{version}", "1")
        path = path.replace("{call_id}", uuid.uuid4().hex).replace("{scope+}", "org").replace("{period}", "2026-01")
        path = path.replace("{lob_id}", "no-such-lob").replace("{tenant_id}", "no-such-tenant").replace("{username}", "nobody%40acme.example")
        path = path.replace("{client_id}", "nosuchclient").replace("{account_id}", "111122223333").replace("{role_name}", "no-such-role")
        return self.stack.base_url.removesuffix("/v1") + path

    def ask(
        self,
        caller: Caller | str | None,
        sample: Sample,
        text: str = "Hello.",
        *,
        body: Json | bytes | None = None,
        model: str | None = None,
        thing: str | None = None,
    ) -> httpx2.Response:
        """The answer to a sample, or to one that differs from it; ``caller`` may be a token."""
        token = caller.token if isinstance(caller, Caller) else caller
        if body is None and sample.body:
            body = sample.body(model or sample.model or "", text)
        headers = {"content-type": "application/json"} if body is not None else {}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        url = self.url(sample, thing, model)
        return self.stack.http.request(sample.method, url, headers=headers, content=content)

    def own_thing(self, caller: Caller, sample: Sample) -> str | None:
        """Something new of the caller's tenant for a sample whose path names something."""
        return self.thing(caller, sample.touches) if sample.touches else None


@pytest.fixture(scope="module")
def world(stack: Stack) -> Iterator[World]:
    """The world of this module."""
    tenants, catalog = Tenants(stack), Catalog(stack)
    guardrail = {
        "id": GUARDRAIL,
        "provider_model_id": GUARDRAIL,
        "protocols": ["bedrock_guardrail"],
        "owned_by": "weir",
        "created": 0,
        "context_window": 1,
        "max_output_tokens": 0,
        "default_max_tokens": 0,
        "capabilities": {},
    }
    catalog.add([guardrail], {GUARDRAIL: {"input": 0, "output": 0, "guardrail_unit": 150_000_000}})
    yield World(stack, tenants)
    tenants.forget()
    catalog.forget()


def new_text() -> str:
    """A text that no other call has."""
    return f"Hello {uuid.uuid4().hex}."


def asked(simulator: Simulator, since: int, text: str) -> list[Json]:
    """The provider calls that hold a text. Not all servers learn whose call it is, so the tenant does not find them."""
    return [call for call in simulator.calls(since) if text in json.dumps(call["request_body"])]


CALLING = [sample for sample in SAMPLES if sample.model]
POSTING = [sample for sample in OF_EACH if sample.body]


def test_the_document_and_this_table_name_the_same_operations() -> None:
    assert {sample.operation for sample in SAMPLES + SCIM} == OPERATIONS


def test_the_document_has_every_route_of_the_gateway() -> None:
    """By the pieces of paths that the gateway tells apart."""
    source = (ROOT / "crates/gateway/src/path.rs").read_text(encoding="utf-8")
    routing = source[source.index("impl<'a> Path<'a>") : source.index("/// The method that it takes")]
    pieces = re.findall(r'"([^"\s]+)"', routing)
    assert "chat/completions" in pieces, "this test must be able to read the routes"
    paths = list(DOCUMENT["paths"])
    assert [piece for piece in pieces if not any(f"{piece.strip('/')}" in path for path in paths)] == []


@walk(OF_EACH)
def test_nobody_gets_in_without_a_token(world: World, simulator: Simulator, sample: Sample) -> None:
    before, text = simulator.last_seq(), new_text()
    forged = world.tenant.token[:-8] + "AAAAAAAA"
    for token in (None, "garbage", forged):
        answer = world.ask(token, sample, text)
        assert "bearer token" in gateway_error_of(answer, 401, "AccessDeniedException")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert asked(simulator, before, text) == []


@walk(CALLING)
def test_a_viewer_calls_no_model(world: World, simulator: Simulator, sample: Sample) -> None:
    before, text = simulator.last_seq(), new_text()
    message = error_of(world.ask(world.viewer, sample, text), sample, 403)
    assert "role" in message
    assert asked(simulator, before, text) == []


@walk(CALLING)
def test_a_model_that_is_not_the_tenants_is_not_there(world: World, simulator: Simulator, sample: Sample) -> None:
    before, text = simulator.last_seq(), new_text()
    message = error_of(world.ask(world.other, sample, text), sample, 404)
    assert f"`{sample.model}`" in message
    unknown = error_of(world.ask(world.other, sample, text, model="nosuchmodel"), sample, 404)
    assert unknown == message.replace(f"`{sample.model}`", "`nosuchmodel`"), "nobody learns which models there are"
    assert asked(simulator, before, text) == []


@walk([sample for sample in OF_EACH if sample.touches])
def test_what_is_another_tenants_is_not_there(world: World, sample: Sample) -> None:
    thing = world.others_things[sample.touches or ""]
    message = error_of(world.ask(world.tenant, sample, thing=thing), sample, 404)
    absent = thing[:-4] + "0000"
    assert message.replace(thing, absent) == error_of(world.ask(world.tenant, sample, thing=absent), sample, 404)
    own = world.own_thing(world.tenant, sample)
    answer = world.ask(world.tenant, sample, thing=own)
    assert answer.status_code == 200, answer.text
    if sample.method == "DELETE":
        error_of(world.ask(world.tenant, sample, thing=own), sample, 404)


#: How requests refer to an uploaded file, by dialect.
REFERENCES: dict[str, Callable[[str], Json]] = {
    CHAT: lambda file: {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": file}}]}]},
    "openai.responses": lambda file: {
        "input": [{"role": "user", "content": [{"type": "input_image", "file_id": file}]}]
    },
    "anthropic.messages": lambda file: {
        "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": file}}]}]
    },
}


@walk([sample for sample in OF_EACH if sample.dialect in REFERENCES])
def test_another_tenants_file_is_not_there_to_refer_to(world: World, simulator: Simulator, sample: Sample) -> None:
    assert sample.body
    before, text, thing = simulator.last_seq(), new_text(), world.others_things["file"]
    body = sample.body(sample.model or "", text) | REFERENCES[sample.dialect or ""](thing)
    assert thing in error_of(world.ask(world.tenant, sample, body=body), sample, 404)
    assert simulator.calls(before, world.tenant.tenant_id) == []


@walk(OF_EACH)
def test_a_suspended_tenant_does_nothing(world: World, simulator: Simulator, sample: Sample) -> None:
    before, text = simulator.last_seq(), new_text()
    answer = world.ask(world.suspended, sample, text)
    assert "not active" in gateway_error_of(answer, 403, "AccessDeniedException")
    assert asked(simulator, before, text) == []


@walk(CALLING)
def test_a_full_minute_says_when_to_come_back(world: World, simulator: Simulator, sample: Sample) -> None:
    for _ in range(4):  # a minute may end in between, and again
        before, text = simulator.last_seq(), new_text()
        answer = world.ask(world.hurried, sample, text)
        if answer.status_code == 429:
            break
    message = error_of(answer, sample, 429, "requests")
    assert "1 (requests per minute)" in message
    assert 1 <= int(answer.headers["retry-after"]) <= 61
    assert asked(simulator, before, text) == []


@walk(CALLING)
def test_a_spent_budget_ends_what_costs(world: World, simulator: Simulator, sample: Sample) -> None:
    before, text = simulator.last_seq(), new_text()
    answer = world.ask(world.broke, sample, text)
    if not sample.is_priced:
        assert answer.status_code == 200, answer.text
        return
    message = error_of(answer, sample, 429, "quota")
    assert "budget per month" in message
    assert "retry-after" not in answer.headers
    assert asked(simulator, before, text) == []


def used(usage: Json) -> list[tuple[str, int]]:
    """What was used at all."""
    return sorted((kind, int(number)) for kind, number in usage.items() if number)


@walk(CALLING)
def test_each_provider_call_leaves_one_record(
    world: World, ledger: Ledger, simulator: Simulator, sample: Sample
) -> None:
    before, text, caller = simulator.last_seq(), new_text(), world.tenant
    answer = world.ask(caller, sample, text)
    assert answer.status_code == 200, answer.text
    call_id = answer.headers["x-request-id"]
    assert (answer.headers["x-weir-model"], answer.headers["x-weir-attempts"]) == (sample.model, str(sample.calls))
    for scope in caller.scopes:
        until(lambda scope=scope: call_id not in ledger.meter(scope).open_calls, f"{call_id} to be settled in {scope}")
    records = [record for record in ledger.records(caller.tenant_id) if record["call_id"] == call_id]
    calls = asked(simulator, before, text)
    assert (len(calls), sorted(int(record["attempt"]) for record in records)) == (
        sample.calls,
        list(range(1, sample.calls + 1)),
    )
    expected = [used(call["usage"] | sample.units) for call in calls]
    assert sorted(used(record["usage"]) for record in records) == sorted(expected)
    for record in records:
        assert record["dialect"] == sample.dialect
        assert record["tenant_id"] == caller.tenant_id
        assert record["outcome"] == "completed"
        assert not (record["is_estimated"] and sample.is_priced), "what is free may be estimated to be nothing"
        assert (record["cost_nanousd"] > 0) == sample.is_priced
        assert record["reserved_nanousd"] >= record["cost_nanousd"]
        assert (record["model"], record["requested_model"]) == (sample.model, sample.model)
        provider_model_id = record["provider_model_id"]
        # Bedrock counts for models only, not for the profiles before them.
        named = {provider_model_id, provider_model_id.removeprefix("us.")}
        assert {re.sub("^arn:.*/", "", call["model"]) for call in calls} <= named


@walk(POSTING)
def test_an_unknown_field_passes_or_is_named(world: World, sample: Sample) -> None:
    assert sample.body
    body = sample.body(sample.model or "", "Hello.") | {"x_of_tomorrow": {"deep": [1, None, "x"]}}
    answer = world.ask(world.tenant, sample, body=body)
    if answer.status_code != 200:
        assert "x_of_tomorrow" in error_of(answer, sample, 400)


@walk(POSTING)
@pytest.mark.parametrize(
    "body",
    [b"", b"Hello.", b'{"model":', b"[]", b"null", b'"text"', b"[" * 500, b'{"a":1}x', b'{"a":"\xff"}'],
    ids=["empty", "text", "cut", "array", "null", "string", "deep", "more", "not-utf8"],
)
def test_what_is_no_request_is_refused(world: World, sample: Sample, body: bytes) -> None:
    assert error_of(world.ask(world.tenant, sample, body=body), sample, 400)


@walk(POSTING)
def test_a_body_that_is_too_large_is_told_of_uploads(world: World, simulator: Simulator, sample: Sample) -> None:
    before, text = simulator.last_seq(), new_text()
    answer = world.ask(world.tenant, sample, text + "x" * (7 * 1024 * 1024))
    assert "POST /v1/files" in gateway_error_of(answer, 413, "ValidationException")
    assert asked(simulator, before, text) == []


@walk(list({sample.path: sample for sample in OF_EACH}.values()))
def test_a_wrong_method_is_named(world: World, sample: Sample) -> None:
    taken = {method for method, path in OPERATIONS if path == sample.path}
    for method in sorted({"GET", "POST", "PUT", "PATCH", "DELETE"} - taken):
        wrong = dataclasses.replace(sample, method=method, body=None)
        assert method in error_of(world.ask(world.tenant, wrong), wrong, 405)
