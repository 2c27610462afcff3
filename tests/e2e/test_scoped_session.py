"""A model that is not allowed is refused a second time, by IAM, when admission is not there to refuse it.

What is proven here, and by whom:

- Every call that the gateway makes is signed by a session ``t-<tenant>`` of the tenant access role. The model simulator
  passes the signed request on to MiniStack's IAM (``POST /_weir/authorize``), which verifies the SigV4 signature, finds
  the session and evaluates the role's policy together with the session policy, as Bedrock would have it done.
- ``invoke``'s own role, with everything that the template gives it, can call no model at all.
- With admission out of the way, a tenant's session reaches that tenant's models and no other. Shown with the gateway's
  own code (the example ``call_without_admission`` of ``inference-bedrock``, which opens sessions as ``invoke`` does),
  and with sessions opened here, on Converse, ConverseStream and Chat Completions. An unsigned or wrongly signed request
  is refused.
- The tenant access role is opened only with the tags that name tenant and line of business.

What is not proven: that AWS itself evaluates these policies alike. The policies are AWS's own language, the evaluation
is MiniStack's with the patches of ``infra/local`` (``bedrock_actions``, ``policy_variables``).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import httpx2
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from roles import assumed
from simulator import Simulator, messages
from stack import ROOT, Caller, Stack

NOVA = "amazon.nova-pro-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
GPT_OSS_120B = "openai.gpt-oss-120b-1:0"
GPT_OSS_20B = "openai.gpt-oss-20b-1:0"
#: What Bedrock calls the model that is one tenant's only, by tenant: one of Converse, one of Chat Completions.
OWN = {"acme": CLAUDE, "globex": GPT_OSS_20B}
#: Of all operations; Anthropic's wants its version.
HEADERS = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
OTHER = {"acme": "globex", "globex": "acme"}


@pytest.fixture(scope="module")
def invoke(stack: Stack) -> Iterator[dict[str, str]]:
    """Credentials of ``invoke``'s own role, without any tenant's session."""
    with assumed(stack, "InvokeFunctionName") as credentials:
        yield credentials


def session_policy(stack: Stack, models: list[str]) -> str:
    """The policy that ``inference-bedrock`` puts on a session, but for the models behind inference profiles."""
    account = stack.outputs["TenantAccessRoleArn"].split(":")[4]

    def arn(model: str) -> str:
        if model.startswith("us."):
            return f"arn:aws:bedrock:{stack.region}:{account}:inference-profile/{model}"
        return f"arn:aws:bedrock:{stack.region}::foundation-model/{model}"

    actions = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]
    statement = {"Effect": "Allow", "Action": actions, "Resource": [arn(model) for model in models]}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def open_session(stack: Stack, invoke: dict[str, str], tenant_id: str, **changes: Any) -> dict[str, str]:
    """The credentials of a tenant's session, opened as ``invoke`` does."""
    lob_id = stack.tenant(tenant_id)["lob_id"]
    request = {
        "RoleArn": stack.outputs["TenantAccessRoleArn"],
        "RoleSessionName": f"t-{tenant_id}",
        "Tags": [{"Key": "tenant_id", "Value": tenant_id}, {"Key": "lob_id", "Value": lob_id}],
        "Policy": session_policy(stack, [NOVA, GPT_OSS_120B, OWN[tenant_id]]),
        **changes,
    }
    return stack.aws("sts", invoke).assume_role(**request)["Credentials"]


def ask(
    stack: Stack, credentials: dict[str, str] | None, path: str, body: dict[str, Any], service: str = "bedrock"
) -> httpx2.Response:
    """A request to the provider as AWS's own clients send it: signed with SigV4, or not at all."""
    url = stack.model_sim_url + path
    request = AWSRequest("POST", url, data=json.dumps(body), headers=HEADERS)
    if credentials:
        keys = Credentials(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials.get("SessionToken"))
        SigV4Auth(keys, service, stack.region).add_auth(request)
    return stack.http.post(url, content=request.data, headers=dict(request.headers))


def converse(stack: Stack, credentials: dict[str, str] | None, model: str, suffix: str = "converse") -> httpx2.Response:
    """Converse, or with the suffix ``converse-stream`` its streamed kin."""
    body = {"messages": [{"role": "user", "content": [{"text": "Hello."}]}]}
    return ask(stack, credentials, f"/model/{model.replace(':', '%3A')}/{suffix}", body)


def chat(stack: Stack, credentials: dict[str, str] | None, model: str, is_streamed: bool = False) -> httpx2.Response:
    """Bedrock's Chat Completions."""
    body = {"model": model, "messages": messages(), "stream": is_streamed}
    return ask(stack, credentials, "/openai/v1/chat/completions", body)


def is_denied(answer: httpx2.Response) -> bool:
    """Whether IAM said no."""
    return answer.status_code == 403 and "not authorized" in answer.text


@pytest.mark.parametrize("model", ["nova-pro", "gpt-oss-120b"])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_the_gateway_calls_models_as_the_tenant_only(
    callers: dict[str, Caller], simulator: Simulator, model: str, is_streamed: bool
) -> None:
    for tenant_id, caller in callers.items():
        raw = caller.openai.chat.completions.with_raw_response.create(
            model=model, messages=messages(), stream=is_streamed
        )
        if is_streamed:
            list(raw.parse())
        call = simulator.call(raw.headers["x-request-id"], tenant_id)
        role_name = caller.stack.outputs["TenantAccessRoleArn"].rsplit("/", 1)[1]
        assert call["principal_arn"].endswith(f":assumed-role/{role_name}/t-{tenant_id}")
        assert call["access_key_id"].startswith("ASIA")


def test_invoke_itself_can_call_no_model(stack: Stack, invoke: dict[str, str]) -> None:
    for model in (NOVA, CLAUDE, GPT_OSS_120B, GPT_OSS_20B):
        assert is_denied(converse(stack, invoke, model))
        assert is_denied(converse(stack, invoke, model, "converse-stream"))
        assert is_denied(chat(stack, invoke, model))


@pytest.mark.parametrize("tenant_id", ["acme", "globex"])
def test_without_admission_the_session_still_refuses_the_others_model(
    stack: Stack, invoke: dict[str, str], tenant_id: str
) -> None:
    session = open_session(stack, invoke, tenant_id)
    for answer in [
        converse(stack, session, NOVA),
        converse(stack, session, NOVA, "converse-stream"),
        converse(stack, session, OWN[tenant_id]),
        chat(stack, session, GPT_OSS_120B),
        chat(stack, session, GPT_OSS_120B, is_streamed=True),
    ]:
        assert answer.status_code == 200, answer.text
    others = OWN[OTHER[tenant_id]]
    for answer in [
        converse(stack, session, others),
        converse(stack, session, others, "converse-stream"),
        chat(stack, session, others),
        chat(stack, session, others, is_streamed=True),
        converse(stack, session, "anthropic.claude-opus-4-1-20250805-v1:0"),
    ]:
        assert is_denied(answer), answer.text


def test_the_gateways_own_code_is_refused_without_admission(
    stack: Stack, invoke: dict[str, str], simulator: Simulator
) -> None:
    """IAM refuses, not the code: the request reaches the simulator, which asks for the verdict."""
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": invoke["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": invoke["SecretAccessKey"],
        "AWS_SESSION_TOKEN": invoke["SessionToken"],
        "AWS_REGION": stack.region,
        "AWS_ENDPOINT_URL": stack.aws_url,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": stack.model_sim_url,
    }

    def call(tenant_id: str, model: str) -> str:
        lob_id, role = stack.tenant(tenant_id)["lob_id"], stack.outputs["TenantAccessRoleArn"]
        arguments = [role, tenant_id, lob_id, f"{NOVA},{OWN[tenant_id]}", model]
        cargo = ["cargo", "run", "--quiet", "--example", "call_without_admission", "--", *arguments]
        return subprocess.run(cargo, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout

    for tenant_id, other_id in OTHER.items():
        assert call(tenant_id, NOVA) == "answered\n"
        before = simulator.last_seq()
        assert call(tenant_id, OWN[other_id]) == "refused AccessDenied\n"
        (asked,) = simulator.calls(before, tenant_id)
        assert (asked["status"], asked["principal_arn"].rsplit("/", 1)[1]) == (403, f"t-{tenant_id}")


#: What else Bedrock offers, each as path and body for a model.
OPERATIONS: dict[str, tuple[str, Any]] = {
    "invoke": ("/model/{model}/invoke", lambda _: {"anthropic_version": "bedrock-2023-05-31", **CLAUDE_TURN}),
    "invoke-stream": (
        "/model/{model}/invoke-with-response-stream",
        lambda _: {"anthropic_version": "bedrock-2023-05-31", **CLAUDE_TURN},
    ),
    "messages": ("/anthropic/v1/messages", lambda model: {"model": model, **CLAUDE_TURN}),
    "responses": ("/openai/v1/responses", lambda model: {"model": model, "input": "Hello.", "store": False}),
}
CLAUDE_TURN = {"max_tokens": 20, "messages": [{"role": "user", "content": "Hello."}]}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_of_bedrock_asks_for_the_same_right(
    stack: Stack, invoke: dict[str, str], operation: str
) -> None:
    path, body = OPERATIONS[operation]
    model = GPT_OSS_20B if operation == "responses" else CLAUDE
    owner = next(tenant_id for tenant_id, own in OWN.items() if own == model)
    for tenant_id in OWN:
        session = open_session(stack, invoke, tenant_id)
        answer = ask(stack, session, path.format(model=model.replace(":", "%3A")), body(model))
        if tenant_id == owner:
            assert answer.status_code == 200, answer.text
        else:
            # Anthropic's and OpenAI's shapes of an error have other words for it.
            assert answer.status_code == 403, answer.text


@pytest.mark.parametrize("suffix", ["invocations", "invocations-response-stream"])
def test_an_endpoint_is_refused_like_a_model(stack: Stack, invoke: dict[str, str], suffix: str) -> None:
    account = stack.outputs["TenantAccessRoleArn"].split(":")[4]
    arn = f"arn:aws:sagemaker:{stack.region}:{account}:endpoint/weir-llama-chat"
    actions = ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"]
    statement = {"Effect": "Allow", "Action": actions, "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    entitled = open_session(stack, invoke, "acme", Policy=policy)
    body = {"messages": messages(), "stream": suffix != "invocations"}

    def endpoint(credentials: dict[str, str] | None, name: str) -> httpx2.Response:
        return ask(stack, credentials, f"/endpoints/{name}/{suffix}", body, "sagemaker")

    assert endpoint(entitled, "weir-llama-chat").status_code == 200
    for credentials, name in [
        (entitled, "weir-other-chat"),
        (open_session(stack, invoke, "globex"), "weir-llama-chat"),
        (invoke, "weir-llama-chat"),
        (None, "weir-llama-chat"),
    ]:
        assert endpoint(credentials, name).status_code == 403


def test_only_a_session_for_a_servers_models_reads_its_key(stack: Stack, invoke: dict[str, str]) -> None:
    """Servers without IAM want a key: who may read the key may call the model."""
    account = stack.outputs["TenantAccessRoleArn"].split(":")[4]
    secret = "weir/providers/vllm"
    arn = f"arn:aws:secretsmanager:{stack.region}:{account}:secret:{secret}-??????"
    statement = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    entitled = open_session(stack, invoke, "acme", Policy=policy)
    key = stack.aws("secretsmanager", entitled).get_secret_value(SecretId=secret)["SecretString"]
    for credentials in (open_session(stack, invoke, "globex"), invoke):
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            stack.aws("secretsmanager", credentials).get_secret_value(SecretId=secret)

    def call(headers: dict[str, str]) -> int:
        body = {"model": "sim-large", "messages": messages()}
        return stack.http.post(f"{stack.model_sim_url}/v1/chat/completions", json=body, headers=headers).status_code

    assert call({"authorization": f"Bearer {key}"}) == 200
    assert call({"authorization": "Bearer garbage"}) == 401
    assert call({}) == 401


def test_a_session_reaches_no_data(stack: Stack, invoke: dict[str, str]) -> None:
    """Not even its own tenant's: it is for models."""
    for tenant_id in ("acme", "globex"):
        dynamodb = stack.aws("dynamodb", open_session(stack, invoke, tenant_id))
        for table, sort_key in [("LedgerTableName", "METER"), ("TenancyTableName", "META")]:
            key = {"PK": {"S": f"TENANT#{tenant_id}"}, "SK": {"S": sort_key}}
            with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
                dynamodb.get_item(TableName=stack.outputs[table], Key=key)


@pytest.mark.parametrize(
    "changes",
    [
        {"Tags": []},
        {"Tags": [{"Key": "tenant_id", "Value": "acme"}]},
        {"Tags": [{"Key": "lob_id", "Value": "retail"}]},
        {"Tags": [{"Key": "lob_id", "Value": "retail"}, {"Key": "project_id", "Value": "web-shop"}]},
    ],
)
def test_a_session_that_names_no_tenant_is_not_opened(
    stack: Stack, invoke: dict[str, str], changes: dict[str, Any]
) -> None:
    for tenant_id in ("acme", "globex"):
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            open_session(stack, invoke, tenant_id, **changes)


def test_an_unsigned_or_wrongly_signed_request_is_refused(stack: Stack, invoke: dict[str, str]) -> None:
    for tenant_id in ("acme", "globex"):
        session = open_session(stack, invoke, tenant_id)
        forged = {**session, "SecretAccessKey": "x" * 40}
        tokenless = {name: value for name, value in session.items() if name != "SessionToken"}
        for credentials in (None, forged, tokenless):
            assert converse(stack, credentials, NOVA).status_code == 403
            assert chat(stack, credentials, GPT_OSS_120B).status_code in (401, 403)
