"""``weir_local.chaos``: what a test wants to go wrong does, and only where it should."""

import asyncio
import decimal
import json
import urllib.error
import urllib.request

import botocore.exceptions
import pytest
from conftest import eventually
from test_stream_event_source import _Source
from weir_local.chaos import CHAOS, Settings
from weir_local.patches.chaos_environments import _Gate
from weir_local.patches.dynamodb_latency import _deepcopy, _remembering


def _chaos(instance, settings: dict | None = None) -> dict:
    data = None if settings is None else json.dumps(settings).encode()
    method = "GET" if settings is None else "PUT"
    request = urllib.request.Request(f"{instance.endpoint}/_weir/chaos", data, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


@pytest.fixture
def chaos(patched):
    """Sets it; afterwards nothing goes wrong."""
    yield lambda **settings: _chaos(patched, settings)
    _chaos(patched, {})


@pytest.fixture(scope="module")
def session(patched):
    """DynamoDB as a function sees it, with a session of a role; the name of a table, and the same as root."""
    iam, sts, root = (patched.client(service) for service in ("iam", "sts", "dynamodb"))
    anybody = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="chaos", AssumeRolePolicyDocument=json.dumps(anybody))["Role"]["Arn"]
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="chaos", PolicyName="all", PolicyDocument=json.dumps(allow))
    root.create_table(
        TableName="chaos", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "PK", "AttributeType": "S"}],
    )
    keys = sts.assume_role(RoleArn=role, RoleSessionName="chaos")["Credentials"]
    names = {"AccessKeyId": "aws_access_key_id", "SecretAccessKey": "aws_secret_access_key", "SessionToken": "aws_session_token"}
    return patched.client("dynamodb", **{names[name]: keys[name] for name in names}), root


def _put(client, key: str) -> None:
    client.put_item(TableName="chaos", Item={"PK": {"S": key}})


def _is_there(client, key: str) -> bool:
    return "Item" in client.get_item(TableName="chaos", Key={"PK": {"S": key}}, ConsistentRead=True)


def test_a_throttled_request_does_nothing_and_only_sessions_are_throttled(session, chaos):
    function, root = session
    chaos(throttled=1)
    with pytest.raises(botocore.exceptions.ClientError, match="ProvisionedThroughputExceeded|Throttling"):
        _put(function, "throttled")
    assert not _is_there(root, "throttled")
    _put(root, "root")
    chaos()
    _put(function, "not throttled")


def test_a_lost_answer_is_one_to_a_request_that_was_carried_out(session, chaos, patched):
    function, root = session
    chaos(answer_lost=1)
    with pytest.raises(botocore.exceptions.ClientError, match="InternalServerError"):
        _put(function, "lost")
    assert _is_there(root, "lost")
    assert _chaos(patched)["counts"] == {"answer_lost_PutItem": 1}


def test_a_refused_request_does_nothing(session, chaos):
    function, root = session
    chaos(refused=1)
    with pytest.raises(botocore.exceptions.ClientError, match="InternalServerError"):
        _put(function, "refused")
    assert not _is_there(root, "refused")


def test_a_stream_comes_again(patched, tmp_path, chaos):
    source = _Source(patched, "again", tmp_path / "deliveries")
    source.put(a="", b="")
    chaos(redelivered=0.8, seed=1)
    source.connect()
    try:
        eventually(lambda: "".join(source.deliveries()).count("a") > 1)
        assert not set("".join(source.deliveries())) - set("ab")
        chaos()
        source.put(c="")
        eventually(lambda: "c" in "".join(source.deliveries()))
    finally:
        patched.client("lambda").delete_event_source_mapping(UUID=source.mapping)


@pytest.mark.parametrize("settings", [{"throttled": -1}, {"throttled": "often"}, {"clock_skew_library": 1}, {"unknown": 1}, []])
def test_what_is_no_setting_is_refused(patched, settings):
    with pytest.raises(urllib.error.HTTPError, match="400"):
        _chaos(patched, settings)


def test_so_many_run_at_once_and_the_others_wait():
    async def most(bound: int) -> int:
        CHAOS.set(Settings(environments=bound))
        gate, inside, most_inside = _Gate(), 0, 0

        async def call():
            nonlocal inside, most_inside
            async with gate.place():
                inside += 1
                most_inside = max(most_inside, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(call() for _ in range(20)))
        assert CHAOS.counts["most_calls_under_way"] == 20
        return most_inside

    try:
        assert asyncio.run(most(3)) == 3
        assert asyncio.run(most(0)) == 20
    finally:
        CHAOS.set(Settings())


def test_a_quick_copy_is_a_copy():
    item = {"PK": {"S": "a"}, "open": {"M": {"x": {"L": [{"N": "1"}, {"BOOL": True}, {"NULL": True}]}}}}
    copied = _deepcopy(item)
    copied["open"]["M"]["x"]["L"].append({"S": "b"})
    assert len(item["open"]["M"]["x"]["L"]) == 3
    special = {"x": decimal.Decimal(1)}
    assert _deepcopy(special) == special


def test_what_cannot_be_remembered_is_computed():
    seen = []
    remembering = _remembering(lambda text: seen.append(text) or len(seen))
    assert (remembering("a"), remembering("a"), remembering(["a"]), remembering(["a"])) == (1, 1, 2, 3)
