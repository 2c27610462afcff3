"""Tenants for one test only, made and changed as an administrator would."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from boto3.dynamodb.conditions import Key

from ledger import BUCKETS, partitions
from limits import rules
from stack import Caller, Stack


@dataclass
class Tenants:
    """Makes tenants, and forgets them again."""

    stack: Stack
    _scopes: list[str] = field(default_factory=list)
    _clients: list[str] = field(default_factory=list)
    _shards: list[str] = field(default_factory=list)
    _people: list[str] = field(default_factory=list)
    _groups: list[str] = field(default_factory=list)

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

    def lob(self, more: Sequence[dict[str, Any]] = (), shards: int = 1, **limits: int) -> str:
        """A new line of business with these limits (and ``more``, as whole rules), whose meters are in so many shards; its id."""
        lob_id = f"lob-{secrets.token_hex(4)}"
        layout = {"meter_layout": {"epoch": 1, "shards": shards}} if shards > 1 else {}
        self._put(f"LOB#{lob_id}", {"lob_id": lob_id, "limits": [*rules(**limits), *more], **layout})
        self._shards += partitions(f"LOB#{lob_id}", shards) if shards > 1 else []
        return lob_id

    def tenant(
        self,
        lob_id: str,
        models: list[str],
        *,
        settings: dict[str, Any] | None = None,
        aliases: Sequence[dict[str, Any]] = (),
        more: dict[str, Any] | None = None,
        **limits: int,
    ) -> Caller:
        """A new tenant with these models, settings, own aliases and limits; its machine client, with a token.

        ``more`` are further attributes of its item, such as ``projects``.
        """
        tenant_id = f"tenant-{secrets.token_hex(4)}"
        entitlements = {"tenant_id": tenant_id, "lob_id": lob_id, "models": models, "limits": rules(**limits), **(more or {})}
        entitlements |= {"aliases": list(aliases)} if aliases else {}
        self._put(f"TENANT#{tenant_id}", entitlements | ({"settings": settings} if settings else {}))
        return self.machine(tenant_id, lob_id)

    def machine(
        self, tenant_id: str, lob_id: str, role: str = "machine", scopes: Sequence[str] = ("weir/invoke", "weir/read")
    ) -> Caller:
        """A new machine client of a tenant, with a token."""
        client = self._cognito.create_user_pool_client(
            UserPoolId=self.stack.outputs["UserPoolId"],
            ClientName=tenant_id,
            GenerateSecret=True,
            AllowedOAuthFlowsUserPoolClient=True,
            AllowedOAuthFlows=["client_credentials"],
            AllowedOAuthScopes=list(scopes),
        )["UserPoolClient"]
        client_id = client["ClientId"]
        self._clients.append(client_id)
        item = {"client_id": client_id, "tenant_id": tenant_id, "role": role, "issuer": self.stack.issuer}
        self._tenancy.put_item(Item={"PK": f"CLIENT#{client_id}", "SK": "META", **item})
        credentials = {"client_id": client_id, "client_secret": client["ClientSecret"]}
        return Caller(self.stack, tenant_id, lob_id, self.stack.client_credentials(credentials, " ".join(scopes)), client_id)

    def person(self, of: Caller, role: str) -> Caller:
        """A new person in a role of a tenant, signed in."""
        pool, group = self.stack.outputs["UserPoolId"], f"{of.tenant_id}:{role}"
        username, password = f"{role}-{secrets.token_hex(4)}@example.com", f"Aa1-{secrets.token_hex(12)}"
        self._cognito.create_group(UserPoolId=pool, GroupName=group)
        self._groups.append(group)
        self._cognito.admin_create_user(UserPoolId=pool, Username=username, MessageAction="SUPPRESS")
        self._people.append(username)
        self._cognito.admin_set_user_password(UserPoolId=pool, Username=username, Password=password, Permanent=True)
        self._cognito.admin_add_user_to_group(UserPoolId=pool, Username=username, GroupName=group)
        token = self.stack.sign_in(username, password)["AccessToken"]
        return Caller(self.stack, of.tenant_id, of.lob_id, token)

    def _put(self, scope: str, entitlements: dict[str, Any]) -> None:
        self._scopes.append(scope)
        common = {"PK": scope, "status": "active", "entitlement_version": 1}
        self._tenancy.put_item(Item={**common, "SK": "META", **entitlements})
        if scope.startswith("LOB#"):
            self._tenancy.put_item(Item={"PK": "ORG", "SK": scope})
        if scope.startswith("TENANT#"):
            # It knows whether the tenant is served; all other meters are made when they are first needed.
            self._ledger.put_item(Item={**common, "SK": "METER", "meter_kind": "METER", "open": {}})

    def change(self, scope: str, **changes: Any) -> None:
        """Changes what a scope may do: entitlements, then the meters of the tenants that it concerns, and the version in both."""
        meta = self._raised(scope, changes)
        if scope.startswith("TENANT#"):
            self._tell(scope, meta)
            return
        for below in self._scopes:
            # What a line of business or the organisation may do is part of what each tenant below may.
            if below.startswith("TENANT#") and scope in ("ORG", f"LOB#{self._meta(below)['lob_id']}"):
                self._tell(below, self._raised(below, {}))

    def _meta(self, scope: str) -> dict[str, Any]:
        return self._tenancy.get_item(Key={"PK": scope, "SK": "META"}, ConsistentRead=True)["Item"]

    def _raised(self, scope: str, changes: dict[str, Any]) -> dict[str, Any]:
        meta = self._meta(scope)
        meta.update(changes, entitlement_version=meta["entitlement_version"] + 1)
        self._tenancy.put_item(Item=meta)
        return meta

    def _tell(self, scope: str, meta: dict[str, Any]) -> None:
        self._ledger.update_item(
            Key={"PK": scope, "SK": "METER"},
            UpdateExpression="SET #status = :status, entitlement_version = :version",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": meta["status"], ":version": meta["entitlement_version"]},
        )

    def forget(self) -> None:
        """Removes every scope made here, with its aliases, meters, records, content and clients."""
        for client_id in self._clients:
            self._cognito.delete_user_pool_client(UserPoolId=self.stack.outputs["UserPoolId"], ClientId=client_id)
            self._tenancy.delete_item(Key={"PK": f"CLIENT#{client_id}", "SK": "META"})
        pool = self.stack.outputs["UserPoolId"]
        for username in self._people:
            self._cognito.admin_delete_user(UserPoolId=pool, Username=username)
        for group in self._groups:
            self._cognito.delete_group(UserPoolId=pool, GroupName=group)
        for partition in self._shards:
            self._empty(partition, self._ledger)
        for scope in self._scopes:
            self._tenancy.delete_item(Key={"PK": "ORG", "SK": scope})
            self._empty(scope, self._tenancy, self._ledger, self._content)
            if scope.startswith("TENANT#"):
                for partition in (*(f"{scope}#USAGE#{bucket}" for bucket in BUCKETS), f"{scope}#ROLLUP", f"{scope}#BILLING"):
                    self._empty(partition, self._ledger)
                self._empty(f"{scope}#SCIM", self._tenancy)

    @staticmethod
    def _empty(partition: str, *tables: Any) -> None:
        for table in tables:
            query = {"KeyConditionExpression": Key("PK").eq(partition), "ProjectionExpression": "PK, SK"}
            while True:
                page = table.query(**query)
                with table.batch_writer() as batch:
                    for key in page["Items"]:
                        batch.delete_item(Key=key)
                if "LastEvaluatedKey" not in page:
                    break
                query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
