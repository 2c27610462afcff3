"""``cargo lambda watch`` serves every function against the running local stack, as ``docs/developing.md`` says.

``python -m pytest tests/watch`` in the environment of ``tests/e2e``, with a stack up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from environment import env_file, environment, load_stack
from watch import Watch, api_event, recorded

PIECES = ["one ", "two ", "three ", "four "]
PAUSE_MS = 300


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    """The running stack."""
    return load_stack()


@pytest.fixture(scope="module")
def watch(stack: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """One ``cargo lambda watch`` for all functions; nothing of it may outlive the tests."""
    folder = tmp_path_factory.mktemp("watch")
    variables = folder / "functions.env"
    variables.write_text(env_file(environment(stack)), encoding="utf-8")
    watch = Watch(variables, folder / "watch.log")
    try:
        watch.wait_until_listening()
        yield watch
        commands = [process.command for process in watch.processes().values()]
        for function in ["authorizer", "invoke", "metering-aggregator"]:
            assert any(command.endswith(f"/debug/{function}") for command in commands), commands
        watch.stop()
    finally:
        watch.kill()


def access_token(stack: dict[str, Any]) -> str:
    """The access token of ``acme``'s developer."""
    acme = next(tenant for tenant in stack["tenants"] if tenant["tenant_id"] == "acme")
    user = next(user for user in acme["users"] if user["role"] == "developer")
    cognito = boto3.client(
        "cognito-idp",
        endpoint_url=stack["aws_endpoint_url"],
        region_name=stack["region"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    answer = cognito.initiate_auth(
        AuthFlow="USER_PASSWORD_AUTH",
        ClientId=stack["outputs"]["UserPoolClientId"],
        AuthParameters={"USERNAME": user["username"], "PASSWORD": user["password"]},
    )
    return answer["AuthenticationResult"]["AccessToken"]


def test_invoke_lists_the_tenants_models(watch: Watch) -> None:
    answer = watch.invoke("invoke", api_event("GET", "/v1/models"))
    assert answer.status == 200, answer.body
    models = {model["id"] for model in json.loads(answer.body)["data"]}
    assert "nova-pro" in models
    assert "gpt-oss-20b" not in models, "only globex may use it"


def test_invoke_streams_while_the_model_talks(watch: Watch) -> None:
    script = json.dumps({"chunks": PIECES, "chunk_delay_ms": PAUSE_MS})
    message = {"role": "user", "content": f"[sim {script}] Count."}
    request = {"model": "nova-pro", "stream": True, "messages": [message]}
    answer = watch.invoke("invoke", api_event("POST", "/v1/chat/completions", request))
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.body.rstrip().endswith(b"data: [DONE]")
    arrivals = [next(at for at, piece in answer.pieces if word.encode() in piece) for word in PIECES]
    assert arrivals == sorted(arrivals)
    gaps = [later - earlier for earlier, later in zip(arrivals, arrivals[1:])]
    # Collected and sent at once, all gaps would be next to nothing.
    assert min(gaps) > PAUSE_MS / 1000 / 2, gaps


def test_the_streaming_operation_answers_in_an_event_stream(watch: Watch) -> None:
    """The answer as SDKs expect it of ``InvokeWithResponseStream``."""
    request = {"model": "gpt-oss-120b", "stream": True, "messages": [{"role": "user", "content": "Hello."}]}
    event = api_event("POST", "/v1/chat/completions", request)
    answer = watch.invoke("invoke", event, "response-streaming-invocations")
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
    assert b"PayloadChunk" in answer.body and b"data: [DONE]" in answer.body
    assert b"InvokeComplete" in answer.body


def test_authorizer_admits_a_developer(stack: dict[str, Any], watch: Watch) -> None:
    bearer = f"Bearer {access_token(stack)}"
    answer = watch.invoke("authorizer", recorded("authorizer/testdata/local.json", authorization=bearer))
    assert answer.status == 200, answer.body
    decision = json.loads(answer.body)
    assert decision["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    assert decision["context"]["tenant_id"] == "acme"


def test_authorizer_refuses_what_is_no_token(watch: Watch) -> None:
    answer = watch.invoke("authorizer", recorded("authorizer/testdata/local.json", authorization="Bearer no.such.token"))
    assert answer.status == 500, "a function that fails"
    assert json.loads(answer.body)["errorMessage"] == "Unauthorized"


def test_metering_aggregator_sweeps(watch: Watch) -> None:
    answer = watch.invoke("metering-aggregator", recorded("metering-aggregator/testdata/schedule.json"))
    assert answer.status == 200, answer.body
    assert set(json.loads(answer.body)) == {"settled", "estimated", "released"}


def test_metering_aggregator_takes_a_batch_of_the_stream(watch: Watch) -> None:
    """The recorded calls have no reservation in this stack, so there is nothing to settle, and no failure either."""
    answer = watch.invoke("metering-aggregator", recorded("metering-aggregator/testdata/stream.json"))
    assert answer.status == 200, answer.body
    assert json.loads(answer.body) == {"batchItemFailures": []}
