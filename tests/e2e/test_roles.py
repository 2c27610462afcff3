"""Each function's role reaches what the function needs and nothing beside it, by the local IAM's own decision.

What a role may not do is tried with its credentials, without the function. A write that IAM lets through fails on a
condition that never holds, so that nothing is changed either way.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import botocore.exceptions
import pytest

from roles import assumed
from stack import ROUTES, Stack

TENANT = ROUTES[0][0]
NOBODY = uuid.UUID(int=0).hex


@dataclass
class Thief:
    """Somebody with the credentials of a function's role."""

    stack: Stack
    credentials: dict[str, str]

    def may(self, attempt: Attempt) -> bool:
        """Whether IAM lets an attempt through; what comes of it then does not matter."""
        try:
            attempt(self)
        except botocore.exceptions.ClientError as error:
            return "AccessDenied" not in error.response["Error"]["Code"]
        return True

    def table(self, output: str) -> dict[str, Any]:
        """A table by its output."""
        return {"TableName": self.stack.outputs[output]}

    @property
    def dynamodb(self) -> Any:
        """DynamoDB, with the role's credentials."""
        return self.stack.aws("dynamodb", self.credentials)

    @property
    def s3(self) -> Any:
        """S3, with the role's credentials."""
        return self.stack.aws("s3", self.credentials)


Attempt = Callable[[Thief], Any]
TENANCY, LEDGER, CONTENT = "TenancyTableName", "LedgerTableName", "ContentTableName"


def key(pk: str) -> dict[str, Any]:
    """The key of an item that is not there."""
    return {"PK": {"S": pk}, "SK": {"S": f"E2E#{NOBODY}"}}


def read(table: str, pk: str) -> Attempt:
    """Reading an item."""
    return lambda thief: thief.dynamodb.get_item(**thief.table(table), Key=key(pk))


def query(table: str, pk: str) -> Attempt:
    """Reading a partition."""
    names = {"KeyConditionExpression": "PK = :pk", "ExpressionAttributeValues": {":pk": {"S": pk}}, "Limit": 1}
    return lambda thief: thief.dynamodb.query(**thief.table(table), **names)


def write(table: str, pk: str) -> Attempt:
    """Writing an item, were the condition to hold."""
    return lambda thief: thief.dynamodb.put_item(
        **thief.table(table), Item=key(pk), ConditionExpression="attribute_exists(PK)"
    )


def update(table: str, pk: str) -> Attempt:
    """Changing an item, were the condition to hold."""
    change = {
        "UpdateExpression": "SET stolen = :yes",
        "ConditionExpression": "attribute_exists(PK)",
        "ExpressionAttributeValues": {":yes": {"BOOL": True}},
    }
    return lambda thief: thief.dynamodb.update_item(**thief.table(table), Key=key(pk), **change)


def delete(table: str, pk: str) -> Attempt:
    """Removing an item that is not there."""
    return lambda thief: thief.dynamodb.delete_item(**thief.table(table), Key=key(pk))


def scan(table: str) -> Attempt:
    """Reading everything."""
    return lambda thief: thief.dynamodb.scan(**thief.table(table), Limit=1)


def fetch(bucket: str, name: str) -> Attempt:
    """Reading an object that is not there."""
    return lambda thief: thief.s3.get_object(Bucket=thief.stack.outputs[bucket], Key=name)


def start(output: str) -> Attempt:
    """Having a function invoked, were it not for a rehearsal only."""
    return lambda thief: thief.stack.aws("lambda", thief.credentials).invoke(
        FunctionName=thief.stack.outputs[output], InvocationType="DryRun", Payload=b"{}"
    )


def open_session(thief: Thief) -> Any:
    """Opening the session by which models are called."""
    return thief.stack.aws("sts", thief.credentials).assume_role(
        RoleArn=thief.stack.outputs["TenantAccessRoleArn"],
        RoleSessionName="t-e2e",
        Tags=[{"Key": "tenant_id", "Value": TENANT}, {"Key": "lob_id", "Value": "retail"}],
    )


def sign(thief: Thief) -> Any:
    """Signing as evidence is signed."""
    return thief.stack.aws("kms", thief.credentials).sign(
        KeyId=thief.stack.outputs["EvidenceKeyArn"], Message=b"x", MessageType="RAW", SigningAlgorithm="ECDSA_SHA_256"
    )


OWN, METER = f"TENANT#{TENANT}", f"TENANT#{TENANT}"
USAGE, ROLLUP, BILLING = f"{OWN}#USAGE#0", f"{OWN}#ROLLUP", f"{OWN}#BILLING"
#: By output: something that the function does all day, and what its role must never do.
ROLES: dict[str, tuple[dict[str, Attempt], dict[str, Attempt]]] = {
    "AuthorizerFunctionName": (
        {"read a tenant": read(TENANCY, OWN)},
        {
            "change a tenant": write(TENANCY, OWN),
            "list tenants": query(TENANCY, "ORG"),
            "read a meter": read(LEDGER, METER),
            "read content": read(CONTENT, OWN),
            "open a tenant's session": open_session,
        },
    ),
    "ModelsFunctionName": (
        {"read the catalogue": query(TENANCY, "CATALOG"), "change it": write(TENANCY, "CATALOG"), "keep a version": write(TENANCY, "MODEL#x"), "read a tenant": read(TENANCY, OWN)},
        {
            "change a line of business": write(TENANCY, "LOB#x"),
            "change a tenant's callers": write(TENANCY, f"CLIENT#{NOBODY}"),
            "change a chain of the audit trail": write(TENANCY, "AUDIT#HEADS"),
            "forget a version": delete(TENANCY, "MODEL#x"),
            "forget an entry alone": delete(TENANCY, "CATALOG"),
            "read a meter": read(LEDGER, METER),
            "open a tenant's session": open_session,
        },
    ),
    "OrchestratorFunctionName": (
        {"read a tenant": read(TENANCY, OWN), "write a task": write(TENANCY, "TASK#x"), "list tasks": query(TENANCY, "TASKS")},
        {
            "change a tenant's callers": write(TENANCY, f"CLIENT#{NOBODY}"),
            "change the catalogue": write(TENANCY, "CATALOG"),
            "delete a task": delete(TENANCY, "TASK#x"),
            "read a meter": read(LEDGER, METER),
            "read content": read(CONTENT, OWN),
            "read bills": fetch("StatementsBucketName", "statements/x"),
            "sign evidence": sign,
            "open a tenant's session": open_session,
        },
    ),
    "OrchestratorStepFunctionName": (
        {
            "change a tenant": write(TENANCY, OWN),
            "renew a meter": update(LEDGER, METER),
            "forget content": delete(CONTENT, OWN),
            "read bills": query(LEDGER, BILLING),
            "sign evidence": sign,
        },
        {
            "change the catalogue": write(TENANCY, "CATALOG"),
            "change a chain of the audit trail": write(TENANCY, "AUDIT#HEADS"),
            "change usage": update(LEDGER, USAGE),
            "forget usage": delete(LEDGER, USAGE),
            "forget bills": delete(LEDGER, BILLING),
            "write bills": write(LEDGER, BILLING),
            "read all that items hold": scan(TENANCY),
            "read an upload": fetch("UploadsBucketName", f"tenant={TENANT}/x"),
            "read a statement": fetch("StatementsBucketName", "statements/x"),
            "open a tenant's session": open_session,
        },
    ),
    "InvokeFunctionName": (
        {
            "reserve": update(LEDGER, METER),
            "record usage": write(LEDGER, USAGE),
            "open a tenant's session": open_session,
            "have a shadow made": start("ShadowFunctionName"),
        },
        {
            "take a turn of a socket": start("SocketFunctionName"),
            "change a tenant": write(TENANCY, OWN),
            "change the catalogue": write(TENANCY, "CATALOG"),
            "forget usage": delete(LEDGER, USAGE),
            "read usage": read(LEDGER, USAGE),
            "read bills": query(LEDGER, BILLING),
            "read an upload": fetch("UploadsBucketName", f"tenant={TENANT}/x"),
            "read everything": scan(LEDGER),
        },
    ),
    "SocketFunctionName": (
        {
            "reserve": update(LEDGER, METER),
            "open a tenant's session": open_session,
            "have a shadow made": start("ShadowFunctionName"),
        },
        {
            "call models over HTTP": start("InvokeFunctionName"),
            "change a tenant": write(TENANCY, OWN),
            "forget usage": delete(LEDGER, USAGE),
            "read bills": query(LEDGER, BILLING),
            "read an upload": fetch("UploadsBucketName", f"tenant={TENANT}/x"),
        },
    ),
    "ShadowFunctionName": (
        {"reserve": update(LEDGER, METER), "record usage": write(LEDGER, USAGE), "open a tenant's session": open_session},
        {
            "change a tenant": write(TENANCY, OWN),
            "forget usage": delete(LEDGER, USAGE),
            "read usage": read(LEDGER, USAGE),
            "read bills": query(LEDGER, BILLING),
            "read an upload": fetch("UploadsBucketName", f"tenant={TENANT}/x"),
            "have a shadow made": start("ShadowFunctionName"),
        },
    ),
    "MeteringAggregatorFunctionName": (
        {"settle": update(LEDGER, METER), "write a rollup": write(LEDGER, ROLLUP)},
        {
            "change a tenant": write(TENANCY, OWN),
            "change limits": update(TENANCY, "LOB#retail"),
            "read content": read(CONTENT, OWN),
            "forget usage": delete(LEDGER, USAGE),
            "open a tenant's session": open_session,
            "read a statement": fetch("StatementsBucketName", "statements/x"),
        },
    ),
    "UsageFunctionName": (
        {"read usage": query(LEDGER, USAGE), "book an entry": write(LEDGER, BILLING), "set limits": write(TENANCY, OWN)},
        {
            "record usage": write(LEDGER, USAGE),
            "change a rollup": update(LEDGER, ROLLUP),
            "change usage": update(LEDGER, USAGE),
            "forget usage": delete(LEDGER, USAGE),
            "register a client": write(TENANCY, f"CLIENT#{NOBODY}"),
            "read content": read(CONTENT, OWN),
            "open a tenant's session": open_session,
            "read the lake": fetch("LakeBucketName", "usage/x"),
            "have a shadow made": start("ShadowFunctionName"),
            "write a statement": lambda thief: thief.s3.put_object(
                Bucket=thief.stack.outputs["StatementsBucketName"], Key=f"statements/{NOBODY}", Body=b""
            ),
        },
    ),
    "TenantsFunctionName": (
        {
            "change a tenant": write(TENANCY, OWN),
            "register a client": write(TENANCY, f"CLIENT#{NOBODY}"),
            "register an issuer": write(TENANCY, "ISSUER#https://nobody.example"),
            "tell a meter": update(LEDGER, METER),
            "look a person up": lambda thief: thief.stack.aws("cognito-idp", thief.credentials).admin_get_user(
                UserPoolId=thief.stack.outputs["UserPoolId"], Username=NOBODY
            ),
        },
        {
            "forget a tenant": delete(TENANCY, OWN),
            "change the catalogue": write(TENANCY, "CATALOG"),
            "read usage": query(LEDGER, USAGE),
            "change usage": update(LEDGER, USAGE),
            "change a rollup": update(LEDGER, ROLLUP),
            "book an entry": update(LEDGER, BILLING),
            "record usage": write(LEDGER, USAGE),
            "read content": read(CONTENT, OWN),
            "open a tenant's session": open_session,
            "set a person's password": lambda thief: thief.stack.aws("cognito-idp", thief.credentials).admin_set_user_password(
                UserPoolId=thief.stack.outputs["UserPoolId"], Username=NOBODY, Password="Nobody-knows-1!", Permanent=True
            ),
        },
    ),
    "ScimApiFunctionName": (
        {
            "list people": query(TENANCY, f"{OWN}#SCIM"),
            "change a person": write(TENANCY, f"{OWN}#SCIM"),
            "forget a person": delete(TENANCY, f"{OWN}#SCIM"),
            "look a person up": lambda thief: thief.stack.aws("cognito-idp", thief.credentials).admin_get_user(
                UserPoolId=thief.stack.outputs["UserPoolId"], Username=NOBODY
            ),
        },
        {
            "read a tenant": read(TENANCY, OWN),
            "forget a tenant": delete(TENANCY, OWN),
            "register a client": write(TENANCY, f"CLIENT#{NOBODY}"),
            "change the catalogue": write(TENANCY, "CATALOG"),
            "read usage": query(LEDGER, USAGE),
            "tell a meter": update(LEDGER, METER),
            "read content": read(CONTENT, OWN),
            "open a tenant's session": open_session,
            "set a person's password": lambda thief: thief.stack.aws("cognito-idp", thief.credentials).admin_set_user_password(
                UserPoolId=thief.stack.outputs["UserPoolId"], Username=NOBODY, Password="Nobody-knows-1!", Permanent=True
            ),
        },
    ),
    "AuditFunctionName": (
        {
            "read what is noted": query(TENANCY, OWN),
            "move a head": update(TENANCY, "AUDIT#HEADS"),
            "note an entry's place": write(TENANCY, "AUDIT#CHAIN#org"),
            "read a record": fetch("AuditBucketName", f"audit/{NOBODY}"),
        },
        {
            "change a tenant": write(TENANCY, OWN),
            "change what is noted": update(TENANCY, "ORG"),
            "forget a record": delete(TENANCY, "AUDIT#CHAIN#org"),
            "delete a record": lambda thief: thief.s3.delete_object(
                Bucket=thief.stack.outputs["AuditBucketName"], Key=f"audit/{NOBODY}"
            ),
            "read usage": query(LEDGER, USAGE),
            "read content": read(CONTENT, OWN),
            "open a tenant's session": open_session,
        },
    ),
    "AuditApiFunctionName": (
        {"read a head": read(TENANCY, "AUDIT#HEADS"), "read a record": fetch("AuditBucketName", f"audit/{NOBODY}")},
        {
            "move a head": update(TENANCY, "AUDIT#HEADS"),
            "note an entry's place": write(TENANCY, "AUDIT#CHAIN#org"),
            "change a tenant": write(TENANCY, OWN),
            "write a record": lambda thief: thief.s3.put_object(
                Bucket=thief.stack.outputs["AuditBucketName"], Key=f"audit/{NOBODY}", Body=b""
            ),
            "read usage": query(LEDGER, USAGE),
            "open a tenant's session": open_session,
        },
    ),
    "BillingFunctionName": (
        {"read usage": query(LEDGER, USAGE), "keep books": write(LEDGER, BILLING)},
        {
            "reserve": update(LEDGER, METER),
            "record usage": write(LEDGER, USAGE),
            "change a tenant": write(TENANCY, OWN),
            "change prices": write(TENANCY, "CATALOG"),
            "forget entries": delete(LEDGER, BILLING),
            "read content": read(CONTENT, OWN),
            "open a tenant's session": open_session,
        },
    ),
}


def test_every_function_is_here(stack: Stack) -> None:
    assert set(ROLES) == {name for name in stack.outputs if name.endswith("FunctionName")}
    functions = stack.aws("lambda").list_functions()["Functions"]
    assert {stack.outputs[name] for name in ROLES} == {
        function["FunctionName"] for function in functions if function["FunctionName"].startswith(stack.document["stack_name"])
    }


@pytest.mark.parametrize("output", ROLES)
def test_a_role_does_what_its_function_needs_and_nothing_else(stack: Stack, output: str) -> None:
    needed, forbidden = ROLES[output]
    with assumed(stack, output) as credentials:
        thief = Thief(stack, credentials)
        assert [name for name, attempt in needed.items() if not thief.may(attempt)] == [], "it must be able to fail"
        assert [name for name, attempt in forbidden.items() if thief.may(attempt)] == []
