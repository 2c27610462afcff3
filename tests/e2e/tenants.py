"""Tenants for one test only, made and changed as an administrator would."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from boto3.dynamodb.conditions import Key
from boto3.dynamodb.types import TypeSerializer

from stack import Caller, Stack


def _native(item: dict[str, Any]) -> dict[str, Any]:
    serializer = TypeSerializer()
    return {name: serializer.serialize(value) for name, value in item.items()}


@dataclass
class Tenants:
    """Makes tenants, and forgets them again."""

    stack: Stack
    _scopes: list[str] = field(default_factory=list)
    _clients: list[str] = field(default_factory=list)

    @cached_property
    def _dynamodb(self) -> Any:
        return self.stack.aws("dynamodb")

    @cached_property
    def _cognito(self) -> Any:
        return self.stack.aws("cognito-idp")

    @cached_property
    def _tenancy(self) -> Any:
        return self.stack.table("TenancyTableName")

    @cached_property
    def _ledger(self) -> Any:
        return self.stack.table("LedgerTableName")

    @cached_property
    def _content(self) -> Any:
        return self.stack.table("ContentTableName")

    def lob(self, **limits: int) -> str:
        """A new line of business with these limits; its id."""
        lob_id = f"lob-{secrets.token_hex(4)}"
        self._put(f"LOB#{lob_id}", {"lob_id": lob_id, "limits": limits})
        return lob_id

    def tenant(
        self,
        lob_id: str,
        models: list[str],
        *,
        settings: dict[str, Any] | None = None,
        aliases: Sequence[dict[str, Any]] = (),
        **limits: int,
    ) -> Caller:
        """A new tenant with these models, settings, own aliases and limits; its machine client, with a token."""
        tenant_id = f"tenant-{secrets.token_hex(4)}"
        entitlements = {"tenant_id": tenant_id, "lob_id": lob_id, "models": models, "limits": limits}
        for alias in aliases:
            self._tenancy.put_item(Item={"PK": f"TENANT#{tenant_id}", "SK": f"ALIAS#{alias['name']}", **alias})
        self._put(f"TENANT#{tenant_id}", entitlements | ({"settings": settings} if settings else {}))
        client = self._cognito.create_user_pool_client(
            UserPoolId=self.stack.outputs["UserPoolId"],
            ClientName=tenant_id,
            GenerateSecret=True,
            AllowedOAuthFlowsUserPoolClient=True,
            AllowedOAuthFlows=["client_credentials"],
            AllowedOAuthScopes=["weir/invoke", "weir/read"],
        )["UserPoolClient"]
        self._clients.append(client["ClientId"])
        item = {"client_id": client["ClientId"], "tenant_id": tenant_id, "role": "machine", "issuer": self.stack.issuer}
        self._tenancy.put_item(Item={"PK": f"CLIENT#{client['ClientId']}", "SK": "META", **item})
        credentials = {"client_id": client["ClientId"], "client_secret": client["ClientSecret"]}
        return Caller(self.stack, tenant_id, lob_id, self.stack.client_credentials(credentials))

    def _put(self, scope: str, entitlements: dict[str, Any]) -> None:
        self._scopes.append(scope)
        common = {"PK": scope, "status": "active", "entitlement_version": 1}
        self._tenancy.put_item(Item={**common, "SK": "META", **entitlements})
        self._ledger.put_item(Item={**common, "SK": "METER", "meter_kind": "METER", "open": {}})

    def change(self, scope: str, **changes: Any) -> None:
        """Changes what a scope may do: entitlements, meter and the version in both, in one transaction."""
        meta = self._tenancy.get_item(Key={"PK": scope, "SK": "META"}, ConsistentRead=True)["Item"]
        meta.update(changes, entitlement_version=meta["entitlement_version"] + 1)
        meter = {
            "TableName": self._ledger.name,
            "Key": _native({"PK": scope, "SK": "METER"}),
            "UpdateExpression": "SET #status = :status, entitlement_version = :version",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": _native({":status": meta["status"], ":version": meta["entitlement_version"]}),
        }
        put = {"TableName": self._tenancy.name, "Item": _native(meta)}
        self._dynamodb.transact_write_items(TransactItems=[{"Put": put}, {"Update": meter}])

    def forget(self) -> None:
        """Removes every scope made here, with its aliases, meters, records, content and clients."""
        for client_id in self._clients:
            self._cognito.delete_user_pool_client(UserPoolId=self.stack.outputs["UserPoolId"], ClientId=client_id)
            self._tenancy.delete_item(Key={"PK": f"CLIENT#{client_id}", "SK": "META"})
        for scope in self._scopes:
            for table in (self._tenancy, self._ledger, self._content):
                items = table.query(KeyConditionExpression=Key("PK").eq(scope), ProjectionExpression="PK, SK")["Items"]
                with table.batch_writer() as batch:
                    for key in items:
                        batch.delete_item(Key=key)
