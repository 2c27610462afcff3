"""AWS roles call without any secret of the gateway's: a token that their own credentials sign, judged by STS.

Roles and sessions are real ones of the local AWS, whose STS checks signatures (it runs with ``AUTH=true``); tokens are made by
``clients/python``. The URL in a token names the real STS of the Region; only the authorizer's connection goes to the local one.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable

import botocore.session
import pytest
from openai import AuthenticationError, OpenAI, PermissionDeniedError

import sdks
from aws_callers import CLIENT, Role, token, weir_auth
from front import Front
from simulator import Simulator, messages
from stack import TIMEOUT_S, Caller, Stack
from tenants import Tenants


def caller(of: Caller, bearer: str) -> Caller:
    """Somebody with this token."""
    return dataclasses.replace(of, token=bearer)


def refused(of: Caller, bearer: str) -> None:
    """401, as for any other token that is none."""
    with pytest.raises(AuthenticationError) as raised:
        caller(of, bearer).openai.models.list()
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["code"] == "invalid_api_key"


def denied(of: Caller, bearer: str, message: str) -> None:
    """403, with what to do about it."""
    with pytest.raises(PermissionDeniedError) as raised:
        caller(of, bearer).openai.models.list()
    assert message in raised.value.message


def test_a_role_makes_its_first_call_with_every_sdk(
    stack: Stack, acme: Caller, tls: Front, simulator: Simulator, make_role: Callable[..., Role]
) -> None:
    """The OpenAI SDK asks for tokens itself; Anthropic's and AWS's are given one."""
    role = make_role("acme")
    provider = weir_auth.TokenProvider(stack.region, stack.outputs["ServerId"], session=role.session)
    client = OpenAI(base_url=stack.base_url, api_key=provider, max_retries=0, timeout=TIMEOUT_S)
    completion = client.chat.completions.create(model="claude-sonnet-4-5", messages=messages())
    assert completion.choices[0].message.content
    assert simulator.call(str(completion._request_id), "acme")["tenant_id"] == "acme"

    machine = caller(acme, provider())
    answer = sdks.anthropic(machine).messages.create(model="claude-sonnet-4-5", max_tokens=50, messages=messages())
    assert answer.content
    with sdks.bedrock(machine, tls) as bedrock:
        answer = bedrock.converse(modelId="claude-sonnet-4-5", messages=[{"role": "user", "content": [{"text": "Hello"}]}])
    assert answer["output"]["message"]["content"]


def test_the_command_makes_a_token_for_the_shell(stack: Stack, acme: Caller, make_role: Callable[..., Role]) -> None:
    """``AWS_BEARER_TOKEN_BEDROCK=$(weir-token)``."""
    role = make_role("acme")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CLIENT), "WEIR_SERVER_ID": stack.outputs["ServerId"], **role.environment}
    command = [sys.executable, "-m", "weir_auth", "--region", stack.region]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)  # noqa: S603
    models = [model.id for model in caller(acme, printed.stdout.strip()).openai.models.list()]
    assert models == [model.id for model in acme.openai.models.list()]


def test_a_role_acts_for_its_own_tenant_alone(stack: Stack, acme: Caller, globex: Caller, make_role: Callable[..., Role]) -> None:
    for own in (acme, globex):
        role = make_role(own.tenant_id)
        models = [model.id for model in caller(acme, token(stack, role)).openai.models.list()]
        assert models == [model.id for model in own.openai.models.list()]


def test_an_unregistered_role_is_denied(stack: Stack, acme: Caller, make_role: Callable[..., Role]) -> None:
    denied(acme, token(stack, make_role()), "This AWS role is not registered.")


def test_a_suspended_role_is_denied(stack: Stack, acme: Caller, make_role: Callable[..., Role]) -> None:
    denied(acme, token(stack, make_role("acme", status="suspended")), "This AWS role is suspended.")


def test_a_role_made_again_under_its_name_is_another_one(stack: Stack, acme: Caller, make_role: Callable[..., Role]) -> None:
    denied(acme, token(stack, make_role("acme", role_id="AROAFORMERROLE000000")), "This AWS role is not registered.")


def test_a_suspended_tenants_role_is_denied(stack: Stack, acme: Caller, tenants: Tenants, make_role: Callable[..., Role]) -> None:
    tenant = tenants.tenant(tenants.lob(), ["nova-lite"])
    role = make_role(tenant.tenant_id)
    of_tenant = caller(tenant, token(stack, role))
    assert "nova-lite" in [model.id for model in of_tenant.openai.models.list()]
    tenants.change(f"TENANT#{tenant.tenant_id}", status="suspended")
    # The next model call is refused by admission, whatever API Gateway remembers of the token; a new token, by the authorizer.
    with pytest.raises(PermissionDeniedError):
        of_tenant.openai.chat.completions.create(model="nova-lite", messages=messages())
    denied(acme, token(stack, role, expires_in=600), "not active")


def test_a_token_for_another_gateway_is_refused(stack: Stack, acme: Caller, make_role: Callable[..., Role]) -> None:
    """The URL looks the same; only its signature covers another name."""
    session = make_role("acme").session
    refused(acme, weir_auth.token(stack.region, f"{stack.outputs['ServerId']}0", session=session))


def test_an_ended_token_is_refused(stack: Stack, acme: Caller, make_role: Callable[..., Role]) -> None:
    bearer = token(stack, make_role("acme"), expires_in=1)
    time.sleep(2)
    refused(acme, bearer)


def test_another_region_is_refused(stack: Stack, acme: Caller, make_role: Callable[..., Role]) -> None:
    other = "eu-west-1" if stack.region != "eu-west-1" else "us-east-1"
    refused(acme, weir_auth.token(other, stack.outputs["ServerId"], session=make_role("acme").session))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda url, host: url.replace(host, f"{host}.evil.example"), id="longer host"),
        pytest.param(lambda url, host: url.replace(host, f"{host}@evil.example"), id="user info"),
        pytest.param(lambda url, host: url.replace(host, f"{host}:443"), id="port"),
        pytest.param(lambda url, host: url.replace(host, "127.0.0.1:4566"), id="the local AWS itself"),
        pytest.param(lambda url, _: url.replace("https://", "http://"), id="http"),
        pytest.param(lambda url, _: url.replace("/?", "/x?"), id="path"),
        pytest.param(lambda url, _: url.replace("GetCallerIdentity", "GetSessionToken"), id="action"),
        pytest.param(lambda url, _: url + "&Action=GetCallerIdentity", id="twice"),
        pytest.param(lambda url, _: url.replace("X-Amz-Expires=900", "X-Amz-Expires=899"), id="changed lifetime"),
        pytest.param(lambda url, _: url.replace("host%3Bx-weir-server-id", "host"), id="unsigned header"),
        pytest.param(lambda url, _: url[:-1] + ("0" if url[-1] != "0" else "1"), id="signature"),
    ],
)
def test_a_changed_token_is_refused(
    stack: Stack, acme: Caller, make_role: Callable[..., Role], change: Callable[[str, str], str]
) -> None:
    prefix, _, encoded = token(stack, make_role("acme")).partition(".")
    url = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    changed = change(url, f"sts.{stack.region}.amazonaws.com")
    assert changed != url
    refused(acme, f"{prefix}.{base64.urlsafe_b64encode(changed.encode()).rstrip(b'=').decode()}")


def test_a_user_is_no_role(stack: Stack, acme: Caller) -> None:
    iam = stack.aws("iam")
    name = f"weir-e2e-{secrets.token_hex(4)}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    session = botocore.session.Session()
    session.set_credentials(key["AccessKeyId"], key["SecretAccessKey"])
    try:
        denied(acme, weir_auth.token(stack.region, stack.outputs["ServerId"], session=session), "not a role")
    finally:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        iam.delete_user(UserName=name)
