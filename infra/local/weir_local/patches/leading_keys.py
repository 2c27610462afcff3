"""``dynamodb:LeadingKeys`` has a value.

MiniStack does not know the key: ``ForAllValues:StringEquals`` then lets every tenant at every item. AWS sets it to the partition
key values a request names. A request whose keys cannot be read here (PartiQL, a malformed body) gets a value that no policy
allows; a ``Scan`` has no leading keys, here as on AWS.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from ministack.core import iam_actions
from ministack.services import dynamodb

from weir_local.patching import wrap

_KEY = "dynamodb:LeadingKeys"
_UNREADABLE = "\x01unreadable\x01"
_EQUALS = re.compile(r"([#\w.-]+)\s*=\s*(:\w+)")
_STATEMENTS = ("Statement", "Statements", "TransactStatements")


def _partition_key(table_name: str, index_name: str | None = None) -> str:
    """The name of the partition key of a table or of one of its indexes."""
    table = dynamodb._tables.get(table_name.rsplit("/", 1)[-1]) or {}
    schema = table.get("KeySchema", [])
    if index_name:
        indexes = [*(table.get("GlobalSecondaryIndexes") or []), *(table.get("LocalSecondaryIndexes") or [])]
        schema = next((index["KeySchema"] for index in indexes if index["IndexName"] == index_name), [])
    return next((key["AttributeName"] for key in schema if key["KeyType"] == "HASH"), "")


def _text(value: dict) -> str:
    return str(next(iter(value.values())))


def _of_item(table_name: str, item: dict) -> str:
    value = item.get(_partition_key(table_name))
    return _text(value) if value else _UNREADABLE


def _of_query(request: dict) -> str:
    names = request.get("ExpressionAttributeNames") or {}
    wanted = _partition_key(request["TableName"], request.get("IndexName"))
    legacy = (request.get("KeyConditions") or {}).get(wanted)
    if legacy and legacy.get("ComparisonOperator") == "EQ":
        return _text(legacy["AttributeValueList"][0])
    for name, placeholder in _EQUALS.findall(request.get("KeyConditionExpression") or ""):
        if names.get(name, name) == wanted:
            return _text(request["ExpressionAttributeValues"][placeholder])
    return _UNREADABLE


def _keys(request: dict) -> Iterator[str]:
    if any(name in request for name in _STATEMENTS):
        yield _UNREADABLE
    item = request.get("Key") or request.get("Item")
    if item:
        yield _of_item(request["TableName"], item)
    if request.get("KeyConditionExpression") or request.get("KeyConditions"):
        yield _of_query(request)
    for entry in request.get("TransactItems") or []:
        for operation in entry.values():
            yield _of_item(operation["TableName"], operation.get("Key") or operation.get("Item"))
    for table_name, entries in (request.get("RequestItems") or {}).items():
        for entry in entries if isinstance(entries, list) else entries["Keys"]:
            write = entry.get("PutRequest") or entry.get("DeleteRequest")
            yield _of_item(table_name, (write.get("Item") or write.get("Key")) if write else entry)


def apply() -> None:
    """Add the key to the condition context of a request."""

    @wrap(iam_actions, "dynamodb_service_context")
    def service_context(original, body):
        context: dict[str, Any] = original(body)
        try:
            keys = list(dict.fromkeys(_keys(json.loads(body or b"{}"))))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, StopIteration):
            keys = [_UNREADABLE]
        return {**context, _KEY: keys} if keys else context
