"""No patch: what the ledger's conditional writes rely on, and MiniStack does right."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

_KEY = {"PK": {"S": "TENANT#acme"}, "SK": {"S": "METER"}}
_RESERVE = {
    "TableName": "ledger",
    "Key": _KEY,
    "UpdateExpression": "SET #open.#call = :entry ADD used :amount",
    "ConditionExpression": "attribute_exists(PK) AND attribute_not_exists(#open.#call) AND #status = :active AND used <= :room",
}


@pytest.fixture(scope="module")
def ledger(patched):
    """A client, and a table of the ledger's shape."""
    client = patched.client("dynamodb")
    client.create_table(
        TableName="ledger", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("PK", "SK")],
    )
    return client


@pytest.fixture(autouse=True)
def meter(ledger):
    """A fresh meter item."""
    item = {**_KEY, "open": {"M": {}}, "status": {"S": "active"}, "used": {"N": "0"}}
    ledger.put_item(TableName="ledger", Item=item)


def _reserve(ledger, call: str, amount: int = 1, limit: int = 10):
    return ledger.update_item(
        **_RESERVE,
        ExpressionAttributeNames={"#open": "open", "#call": call, "#status": "status"},
        ExpressionAttributeValues={
            ":entry": {"M": {"amount": {"N": str(amount)}}}, ":amount": {"N": str(amount)}, ":active": {"S": "active"},
            ":room": {"N": str(limit - amount)},
        },
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )


def _meter(ledger) -> dict:
    return ledger.get_item(TableName="ledger", Key=_KEY, ConsistentRead=True)["Item"]


def test_a_reservation_is_made_once(ledger):
    _reserve(ledger, "0199-abc")
    with pytest.raises(ClientError) as refused:
        _reserve(ledger, "0199-abc")
    assert refused.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert refused.value.response["Item"]["open"]["M"] == {"0199-abc": {"M": {"amount": {"N": "1"}}}}
    assert _meter(ledger)["used"] == {"N": "1"}


def test_a_reservation_is_settled_once(ledger):
    _reserve(ledger, "0199-abc")
    settle = {
        "TableName": "ledger", "Key": _KEY, "UpdateExpression": "REMOVE #open.#call ADD settled :amount",
        "ConditionExpression": "attribute_exists(#open.#call) AND #open.#call.amount = :amount",
        "ExpressionAttributeNames": {"#open": "open", "#call": "0199-abc"},
        "ExpressionAttributeValues": {":amount": {"N": "1"}}, "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    ledger.update_item(**settle)
    with pytest.raises(ClientError) as refused:
        ledger.update_item(**settle)
    assert refused.value.response["Item"]["open"] == {"M": {}}
    assert _meter(ledger)["settled"] == {"N": "1"}


def test_a_limit_holds_under_concurrency(ledger):
    def attempt(number: int) -> bool:
        try:
            _reserve(ledger, f"call-{number}", limit=25)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ConditionalCheckFailedException"
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        granted = sum(pool.map(attempt, range(80)))
    meter = _meter(ledger)
    assert (granted, meter["used"], len(meter["open"]["M"])) == (25, {"N": "25"}, 25)
