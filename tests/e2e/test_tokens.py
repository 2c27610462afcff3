"""Only a token that is in order lets anybody in; every other one is a 401 in the caller's error shape."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import pytest
from openai import AuthenticationError

import issuer as issuers
from issuer import Issuer, parts, unsigned
from simulator import Simulator, messages
from stack import Caller, Stack


@pytest.fixture(scope="module")
def issuer(stack: Stack) -> Iterator[Issuer]:
    """An issuer that ``acme`` has registered."""
    table = stack.table("TenancyTableName")
    with issuers.serve() as issuer:
        key = {"PK": f"ISSUER#{issuer.name}", "SK": "META"}
        registration = {
            "issuer": issuer.name,
            "jwks_url": issuer.jwks_url,
            "audiences": ["weir"],
            "tenant_id": "acme",
            "role": "developer",
        }
        table.put_item(Item={**key, **registration})
        yield issuer
        table.delete_item(Key=key)


def refused(caller: Caller, token: str) -> AuthenticationError:
    """How the SDK fails with this token."""
    with pytest.raises(AuthenticationError) as raised:
        dataclasses.replace(caller, token=token).openai.models.list()
    assert raised.value.status_code == 401
    assert isinstance(raised.value.body, dict)
    assert (raised.value.body["type"], raised.value.body["code"]) == ("invalid_request_error", "invalid_api_key")
    assert "bearer token" in raised.value.body["message"]
    assert raised.value.response.headers["www-authenticate"] == "Bearer"
    return raised.value


def test_a_registered_issuers_token_speaks_for_its_tenant_alone(
    acme: Caller, globex: Caller, issuer: Issuer, simulator: Simulator
) -> None:
    """Whatever its claims say."""
    token = issuer.token(tenant_id="globex", **{"cognito:groups": ["globex:tenant_admin"], "custom:tenant": "globex"})
    caller = dataclasses.replace(acme, token=token)
    assert [model.id for model in caller.openai.models.list()] == [model.id for model in acme.openai.models.list()]
    assert [model.id for model in caller.openai.models.list()] != [model.id for model in globex.openai.models.list()]
    completion = caller.openai.chat.completions.create(model="nova-lite", messages=messages())
    assert simulator.call(str(completion._request_id), "acme")["tenant_id"] == "acme"


@pytest.mark.parametrize(
    "fault",
    [
        "expired",
        "not valid yet",
        "wrong audience",
        "wrong issuer",
        "alg none",
        "public key as secret",
        "unknown key",
        "tampered",
        "no signature",
    ],
)
def test_a_faulty_token_is_refused(acme: Caller, globex: Caller, issuer: Issuer, fault: str) -> None:
    now = int(time.time())
    good = issuer.token()
    header, claims, signature = parts(good)
    faulty = {
        "expired": lambda: issuer.token(iat=now - 7200, exp=now - 3600),
        "not valid yet": lambda: issuer.token(nbf=now + 3600),
        "wrong audience": lambda: issuer.token(aud="another-api"),
        "wrong issuer": lambda: issuer.token(iss="https://issuer-of-nobody.example"),
        "alg none": issuer.token_without_signature,
        "public key as secret": issuer.token_signed_with_the_public_key,
        "unknown key": lambda: issuer.token(header={"kid": "of-another-issuer"}),
        "tampered": lambda: f"{unsigned(header, {**claims, 'sub': 'somebody-else'})}.{signature}",
        "no signature": lambda: f"{unsigned(header, claims)}.",
    }[fault]
    for caller in (acme, globex):
        refused(caller, faulty())


def test_a_cognito_token_is_bound_to_its_signature_and_issuer(acme: Caller, globex: Caller, issuer: Issuer) -> None:
    for caller, other in [(acme, globex), (globex, acme)]:
        header, claims, signature = parts(caller.token)
        refused(caller, unsigned({**header, "alg": "none"}, claims) + ".")
        refused(caller, f"{unsigned(header, {**claims, 'iss': issuer.name})}.{signature}")
        # The other tenant's claims under the own signature.
        _, others_claims, _ = parts(other.token)
        refused(caller, f"{unsigned(header, others_claims)}.{signature}")
        # The tenant's own issuer pretends to be the user pool.
        refused(caller, issuer.token(header={"kid": header["kid"]}, **claims))


def test_an_id_token_is_no_access_token(stack: Stack, acme: Caller, globex: Caller) -> None:
    for caller in (acme, globex):
        user = stack.tenant(caller.tenant_id)["users"][0]
        refused(caller, stack.sign_in(user["username"], user["password"])["IdToken"])


@pytest.mark.parametrize("authorization", [None, "Bearer", "Basic YTpi", "Bearer not.a.token", "Bearer x"])
def test_a_missing_or_malformed_header_is_refused(acme: Caller, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    for path, method in [("/models", "GET"), ("/chat/completions", "POST")]:
        answer = acme.stack.http.request(method, acme.stack.base_url + path, headers=headers)
        assert answer.status_code == 401, answer.text
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
