"""Patches ``bedrock_actions``, ``policy_variables``, ``leading_keys`` and the endpoint ``authorize_endpoint``."""

import hashlib
import json
import urllib.error
import urllib.request

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

_ALLOWED = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
_OTHER = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0"
_TAGGED = "arn:aws:bedrock:us-east-1::foundation-model/amazon.${aws:PrincipalTag/model}"
_PROFILE = "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.amazon.nova-lite-v1:0"
_TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/items"
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["bedrock:InvokeModel*"], "Resource": [_ALLOWED, _OTHER, _PROFILE]},
        {
            "Effect": "Allow",
            "Action": "dynamodb:*",
            "Resource": [_TABLE, f"{_TABLE}/index/*"],
            "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["TENANT#${aws:PrincipalTag/tenant_id}"]}},
        },
    ],
}


def _assume(instance, model: str = _ALLOWED, tags=(("tenant_id", "acme"),), deny: str | None = None) -> dict:
    """Credentials of a session of the tenant role, limited by a session policy."""
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["bedrock:InvokeModel*", "dynamodb:*"], "Resource": [model, f"{_TABLE}*"]}],
    }
    session = instance.client("sts").assume_role(
        RoleArn="arn:aws:iam::000000000000:role/tenant", RoleSessionName="t-acme", Policy=json.dumps(policy),
        Tags=[{"Key": key, "Value": value} for key, value in tags],
    )["Credentials"]
    return {
        "aws_access_key_id": session["AccessKeyId"],
        "aws_secret_access_key": session["SecretAccessKey"],
        "aws_session_token": session["SessionToken"],
    }


def _prepare(instance):
    """Create the tenant role and a table with an index."""
    iam = instance.client("iam")
    trust = {"Statement": [{
        "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": ["sts:AssumeRole", "sts:TagSession"],
    }]}
    iam.create_role(RoleName="tenant", AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName="tenant", PolicyName="tenant", PolicyDocument=json.dumps(_POLICY))
    instance.client("dynamodb").create_table(
        TableName="items", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "PK", "AttributeType": "S"}, {"AttributeName": "kind", "AttributeType": "S"}],
        GlobalSecondaryIndexes=[{
            "IndexName": "kinds", "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }],
    )
    return instance


@pytest.fixture(scope="module")
def weir(patched):
    """The patched instance, prepared."""
    return _prepare(patched)


@pytest.fixture(scope="module")
def plain(stock):
    """The stock instance, prepared."""
    return _prepare(stock)


def _allowed(call, *args, **kwargs) -> bool:
    try:
        call(*args, **kwargs)
    except ClientError as error:
        assert "AccessDenied" in error.response["Error"]["Code"], error
        return False
    return True


class TestBedrockActions:
    MESSAGES = [{"role": "user", "content": [{"text": "hi"}]}]

    def test_converse_is_authorized_as_invoke_model(self, weir):
        bedrock = weir.client("bedrock-runtime", **_assume(weir))
        assert _allowed(bedrock.converse, modelId="amazon.nova-lite-v1:0", messages=self.MESSAGES)
        assert _allowed(bedrock.converse_stream, modelId="amazon.nova-lite-v1:0", messages=self.MESSAGES)

    def test_the_session_policy_still_limits_the_models(self, weir):
        bedrock = weir.client("bedrock-runtime", **_assume(weir))
        assert not _allowed(bedrock.converse, modelId="amazon.nova-pro-v1:0", messages=self.MESSAGES)

    def test_stock_refuses_it(self, plain):
        bedrock = plain.client("bedrock-runtime", **_assume(plain))
        assert not _allowed(bedrock.converse, modelId="amazon.nova-lite-v1:0", messages=self.MESSAGES)


def _key(tenant: str) -> dict:
    return {"PK": {"S": f"TENANT#{tenant}"}}


def _operations(table, tenant: str) -> dict:
    """Whether each kind of access to a tenant's items is allowed."""
    key, value = _key(tenant), {":v": {"S": f"TENANT#{tenant}"}}
    named = {"KeyConditionExpression": "#pk = :v", "ExpressionAttributeNames": {"#pk": "PK"}, "ExpressionAttributeValues": value}
    indexed = {"IndexName": "kinds", "KeyConditionExpression": "kind = :v", "ExpressionAttributeValues": value}
    update = {"UpdateExpression": "SET a = :v", "ExpressionAttributeValues": value}
    return {
        "get": _allowed(table.get_item, TableName="items", Key=key),
        "put": _allowed(table.put_item, TableName="items", Item=key),
        "update": _allowed(table.update_item, TableName="items", Key=key, **update),
        "delete": _allowed(table.delete_item, TableName="items", Key=key),
        "query": _allowed(table.query, TableName="items", **named),
        "query index": _allowed(table.query, TableName="items", **indexed),
        "transaction": _allowed(table.transact_write_items, TransactItems=[{"Put": {"TableName": "items", "Item": key}}]),
        "batch get": _allowed(table.batch_get_item, RequestItems={"items": {"Keys": [key]}}),
        "batch write": _allowed(table.batch_write_item, RequestItems={"items": [{"PutRequest": {"Item": key}}]}),
    }


class TestTenantIsolation:
    """Both patches at once: the tenant's key prefix is a policy variable, compared to the leading keys."""

    def test_a_tenant_reaches_its_own_items(self, weir):
        results = _operations(weir.client("dynamodb", **_assume(weir)), "acme")
        assert all(results.values()), results

    def test_a_tenant_does_not_reach_the_items_of_another(self, weir):
        results = _operations(weir.client("dynamodb", **_assume(weir)), "globex")
        assert not any(results.values()), results

    def test_a_transaction_over_two_tenants_is_refused(self, weir):
        table = weir.client("dynamodb", **_assume(weir))
        puts = [{"Put": {"TableName": "items", "Item": _key(tenant)}} for tenant in ("acme", "globex")]
        assert not _allowed(table.transact_write_items, TransactItems=puts)

    def test_a_statement_is_refused(self, weir):
        table = weir.client("dynamodb", **_assume(weir))
        assert not _allowed(table.execute_statement, Statement="SELECT * FROM items WHERE PK = 'TENANT#acme'")

    def test_a_session_without_the_tag_reaches_nothing(self, weir):
        table = weir.client("dynamodb", **_assume(weir, tags=()))
        assert not any(_operations(table, "acme").values())
        assert not any(_operations(table, "").values())

    def test_stock_lets_everyone_at_everything(self, plain):
        results = _operations(plain.client("dynamodb", **_assume(plain)), "globex")
        assert all(results.values()), results

    def test_stock_does_not_substitute_variables(self, plain):
        session = _assume(plain, model=_TAGGED, tags=(("model", "nova-lite-v1:0"),))
        bedrock = plain.client("bedrock-runtime", **session)
        assert not _allowed(bedrock.invoke_model, modelId="amazon.nova-lite-v1:0", body="{}")

    def test_variables_are_substituted_in_resources(self, weir):
        session = _assume(weir, model=_TAGGED, tags=(("model", "nova-lite-v1:0"),))
        bedrock = weir.client("bedrock-runtime", **session)
        body = json.dumps({"messages": [{"role": "user", "content": [{"text": "hi"}]}]})
        assert _allowed(bedrock.invoke_model, modelId="amazon.nova-lite-v1:0", body=body)
        assert not _allowed(bedrock.invoke_model, modelId="amazon.nova-pro-v1:0", body=body)


_BODY = b'{"messages": []}'


def _signed(credentials: dict, path: str = "/model/us.amazon.nova-lite-v1%3A0/converse-stream") -> dict:
    """A signed request as Bedrock's runtime would get it, described for the endpoint."""
    request = AWSRequest("POST", f"http://127.0.0.1:4567{path}", data=_BODY, headers={"content-type": "application/json"})
    keys = Credentials(*credentials.values())
    SigV4Auth(keys, "bedrock", "us-east-1").add_auth(request)
    return {
        "method": "POST", "path": path, "headers": {"Host": "127.0.0.1:4567", **dict(request.headers)},
        "body_sha256": hashlib.sha256(_BODY).hexdigest(), "action": "bedrock:InvokeModelWithResponseStream", "resource": _ALLOWED,
    }


def _ask(instance, asked: dict) -> dict:
    url = f"{instance.endpoint}/_weir/authorize"
    request = urllib.request.Request(url, json.dumps(asked).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)


class TestAuthorizeEndpoint:
    def test_a_signed_request_within_the_policies_is_allowed(self, weir):
        assert _ask(weir, _signed(_assume(weir))) == {
            "allowed": True, "principal_arn": "arn:aws:sts::000000000000:assumed-role/tenant/t-acme", "reason": "Allow",
        }

    @pytest.mark.parametrize("resource", [_OTHER, _PROFILE])
    def test_the_session_policy_limits_the_role(self, weir, resource):
        answer = _ask(weir, {**_signed(_assume(weir)), "resource": resource})
        assert answer["allowed"] is False
        assert answer["reason"].startswith("ImplicitDeny")
        assert answer["principal_arn"].endswith("/t-acme")

    def test_an_inference_profile_is_a_resource_of_its_own(self, weir):
        asked = {**_signed(_assume(weir, model=_PROFILE)), "resource": _PROFILE}
        assert _ask(weir, asked)["allowed"] is True
        assert _ask(weir, {**asked, "resource": _ALLOWED})["allowed"] is False

    @pytest.mark.parametrize("change", [{"body_sha256": "0" * 64}, {"path": "/model/other/converse"}, {"method": "GET"}])
    def test_a_changed_request_is_refused(self, weir, change):
        answer = _ask(weir, {**_signed(_assume(weir)), **change})
        assert answer["allowed"] is False
        assert answer["reason"].startswith("SignatureDoesNotMatch")

    def test_a_signature_is_not_taken_over_by_another_session(self, weir):
        asked, other = _signed(_assume(weir)), _assume(weir, model=_OTHER)
        asked["headers"]["X-Amz-Security-Token"] = other["aws_session_token"]
        assert _ask(weir, asked)["allowed"] is False

    def test_an_unsigned_request_is_refused(self, weir):
        asked = {**_signed(_assume(weir)), "headers": {"Host": "127.0.0.1:4567"}}
        assert _ask(weir, asked)["reason"].startswith("MissingAuthenticationToken")

    def test_a_malformed_question_is_400(self, weir):
        with pytest.raises(urllib.error.HTTPError) as error:
            _ask(weir, {"method": "POST"})
        assert error.value.code == 400
