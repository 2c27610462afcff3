#!/usr/bin/env python3
"""Seed a deployed Weir stack: models, providers, aliases, prices, secrets, lines of business, tenants, people, machine clients.

Idempotent: an item that is already as wanted is left alone, and an entitlement version rises only when something that it
covers changes. What it had to invent (passwords) and what programs need (client ids and secrets) goes to ``--out``; a second
run with the same ``--out`` keeps the passwords in it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import string
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3

HERE = Path(__file__).resolve().parent
MACHINE_SCOPES = ["weir/invoke", "weir/read"]
#: Providers that need no entry.
BUILT_IN = {"bedrock", "sagemaker"}
#: What the gateway takes as a model's name.
MODEL_ID = re.compile(r"[A-Za-z0-9._:/-]{1,256}")


class Stack:
    """The deployed stack, found by its name."""

    def __init__(self, session: boto3.Session, name: str, endpoint_url: str | None) -> None:
        def client(service: str) -> Any:
            return session.client(service, endpoint_url=endpoint_url)

        stacks = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
        self.region = session.region_name
        self.pool_id = self.outputs["UserPoolId"]
        self.cognito = client("cognito-idp")
        self.secrets = client("secretsmanager")
        dynamodb = session.resource("dynamodb", endpoint_url=endpoint_url)
        self.tenancy = dynamodb.Table(self.outputs["TenancyTableName"])
        self.ledger = dynamodb.Table(self.outputs["LedgerTableName"])

    @property
    def issuer(self) -> str:
        """What the stack's user pool writes into the ``iss`` claim."""
        return f"https://cognito-idp.{self.region}.amazonaws.com/{self.pool_id}"


def load(path: Path) -> Any:
    """Read a JSON file; numbers become what DynamoDB takes."""
    return json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)


def put(table: Any, item: dict[str, Any]) -> None:
    """Write an item that has no version, unless it is there already."""
    key = {"PK": item["PK"], "SK": item["SK"]}
    if table.get_item(Key=key, ConsistentRead=True).get("Item") != item:
        table.put_item(Item=item)


def seed_entry(stack: Stack, key: dict[str, str], entry: dict[str, Any]) -> None:
    """Write an entry of the registry. One that was changed over the API since is the registry's."""
    if "version" not in stack.tenancy.get_item(Key=key, ConsistentRead=True).get("Item", {}):
        put(stack.tenancy, {**key, **entry})


def seed_models(stack: Stack, models: list[dict[str, Any]], prices: dict[str, Any]) -> None:
    """Write models and their prices."""
    for model in models:
        seed_entry(stack, {"PK": "CATALOG", "SK": f"MODEL#{model['id']}"}, model)
    put(stack.tenancy, {"PK": "CATALOG", "SK": f"PRICES#{prices['version']}", **prices})


def seed_catalog(stack: Stack, model_server: str | None) -> list[str]:
    """Write the catalogue; return the ids of the models.

    ``${model_server}`` in a provider's ``base_url`` is what the command line says. Without it, providers that need it
    are left out, and so are their models.
    """
    providers = [provider for provider in load(HERE / "providers.json") if model_server or "$" not in provider.get("base_url", "")]
    for provider in providers:
        if "base_url" in provider:
            base_url = string.Template(provider["base_url"]).substitute(model_server=model_server)
            provider = {**provider, "base_url": base_url}
        put(stack.tenancy, {"PK": "CATALOG", "SK": f"PROVIDER#{provider['id']}", **provider})
    known = BUILT_IN | {provider["id"] for provider in providers}
    models = [model for model in load(HERE / "models.json") if model.get("provider", "bedrock") in known]
    seed_models(stack, models, load(HERE / "prices.json"))
    for alias in load(HERE / "aliases.json"):
        seed_entry(stack, {"PK": "CATALOG", "SK": f"ALIAS#{alias['name']}"}, alias)
    return [model["id"] for model in models]


def seed_secrets(stack: Stack, values: dict[str, str]) -> None:
    """Write the keys of providers, by the name of their secret."""
    for name, value in values.items():
        try:
            stack.secrets.create_secret(Name=name, SecretString=value)
        except stack.secrets.exceptions.ResourceExistsException:
            if stack.secrets.get_secret_value(SecretId=name)["SecretString"] != value:
                stack.secrets.put_secret_value(SecretId=name, SecretString=value)


def served_models(base_url: str) -> list[str]:
    """The ids of the models that an OpenAI-compatible server lists."""
    with urllib.request.urlopen(f"{base_url}/models", timeout=30) as answer:  # noqa: S310: what the person named
        return [model["id"] for model in json.load(answer)["data"]]


def seed_server(stack: Stack, base_url: str, tenant: dict[str, Any], ids: list[str]) -> list[str]:
    """Register the models of a server for a tenant, at no price; return their ids in the registry.

    What a server can do it does not say, so capabilities are those of most: text and tools. A name that is taken, or that
    is no model id, is left out.
    """
    provider = {"id": "real", "kind": "openai_compatible", "name": "openai_compatible", "base_url": base_url, "allow_http": True}
    put(stack.tenancy, {"PK": "CATALOG", "SK": "PROVIDER#real", **provider})
    taken = {model["id"] for model in load(HERE / "models.json")}
    names = [name for name in ids if name not in taken and MODEL_ID.fullmatch(name)]
    models = [
        {
            "id": name,
            "provider": "real",
            "provider_model_id": name,
            "protocols": ["openai_embeddings" if "embed" in name else "openai_chat"],
            "owned_by": "real",
            "created": 0,
            "context_window": 32768,
            "max_output_tokens": 0 if "embed" in name else 8192,
            "default_max_tokens": 0 if "embed" in name else 2048,
            "capabilities": {"tools": True, "forced_tool_choice": True, "sampling_parameters": True, "structured_output": True},
        }
        for name in names
    ]
    # One price book is in force at a time: a copy of the catalogue's, younger by a second, with these at no price.
    prices = load(HERE / "prices.json")
    free = {name: {"input": 0, "output": 0} for name in names}
    seed_models(
        stack,
        models,
        {**prices, "version": f"{prices['version']}-real", "valid_from": prices["valid_from"] + 1, "models": {**prices["models"], **free}},
    )
    tenant["models"] = [*tenant["models"], *names]
    return names


def seed_scope(stack: Stack, key: str, wanted: dict[str, Any]) -> bool:
    """Write what a scope may do, with a version that rises when something of it changes; whether it did."""
    item = {"PK": key, "SK": "META", "status": "active", **wanted}
    found = stack.tenancy.get_item(Key={"PK": key, "SK": "META"}, ConsistentRead=True).get("Item", {})
    version = int(found.get("entitlement_version", 0))
    is_new = {name: value for name, value in found.items() if name != "entitlement_version"} != item
    if is_new:
        stack.tenancy.put_item(Item={**item, "entitlement_version": version + 1})
    return is_new


def seed_meter(stack: Stack, key: str, is_raised: bool) -> None:
    """Write the meter of a tenant, after its entitlements; the ledger makes all other meters when they are first needed.

    In this order: a meter that is ahead of the entitlements would refuse every call in between for good reason, but one
    that is behind only makes the gateway read them again. ``is_raised`` raises the version of a tenant that is as it was,
    since something above it has changed.
    """
    answer = stack.tenancy.update_item(
        Key={"PK": key, "SK": "META"},
        UpdateExpression="ADD entitlement_version :by",
        ExpressionAttributeValues={":by": int(is_raised)},
        ReturnValues="UPDATED_NEW",
    )
    version = answer["Attributes"]["entitlement_version"]
    stack.ledger.update_item(
        Key={"PK": key, "SK": "METER"},
        UpdateExpression="SET meter_kind = :kind, #status = :status, entitlement_version = :version,"
        " #open = if_not_exists(#open, :none)",
        ExpressionAttributeNames={"#status": "status", "#open": "open"},
        ExpressionAttributeValues={":kind": "METER", ":status": "active", ":version": version, ":none": {}},
    )


def new_password() -> str:
    """A random password that satisfies the pool's policy."""
    kinds = [string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.!"]
    letters = [secrets.choice(kind) for kind in kinds] + [secrets.choice("".join(kinds)) for _ in range(20)]
    secrets.SystemRandom().shuffle(letters)
    return "".join(letters)


def seed_person(stack: Stack, tenant_id: str, person: dict[str, str], password: str | None) -> dict[str, str]:
    """Create a person with a permanent password and put them into the group of their role."""
    username, role = person["username"], person["role"]
    group = f"{tenant_id}:{role}"
    try:
        stack.cognito.create_group(UserPoolId=stack.pool_id, GroupName=group)
    except stack.cognito.exceptions.GroupExistsException:
        pass
    try:
        stack.cognito.admin_create_user(
            UserPoolId=stack.pool_id,
            Username=username,
            MessageAction="SUPPRESS",
            UserAttributes=[{"Name": "email", "Value": username}, {"Name": "email_verified", "Value": "true"}],
        )
        is_new = True
    except stack.cognito.exceptions.UsernameExistsException:
        is_new = False
    if is_new or password is None:
        password = password or new_password()
        stack.cognito.admin_set_user_password(
            UserPoolId=stack.pool_id, Username=username, Password=password, Permanent=True
        )
    stack.cognito.admin_add_user_to_group(UserPoolId=stack.pool_id, Username=username, GroupName=group)
    return {"username": username, "password": password, "role": role}


def seed_machine_client(stack: Stack, tenant_id: str) -> dict[str, str]:
    """Create the tenant's machine client, unless it has one, and register it."""
    name = f"{tenant_id}-machine"
    pages = stack.cognito.get_paginator("list_user_pool_clients").paginate(UserPoolId=stack.pool_id)
    client_id = next(
        (client["ClientId"] for page in pages for client in page["UserPoolClients"] if client["ClientName"] == name), None
    )
    if client_id is None:
        client = stack.cognito.create_user_pool_client(
            UserPoolId=stack.pool_id,
            ClientName=name,
            GenerateSecret=True,
            AllowedOAuthFlowsUserPoolClient=True,
            AllowedOAuthFlows=["client_credentials"],
            AllowedOAuthScopes=MACHINE_SCOPES,
            EnableTokenRevocation=True,
        )["UserPoolClient"]
    else:
        client = stack.cognito.describe_user_pool_client(UserPoolId=stack.pool_id, ClientId=client_id)["UserPoolClient"]
    item = {"client_id": client["ClientId"], "tenant_id": tenant_id, "role": "machine", "issuer": stack.issuer}
    put(stack.tenancy, {"PK": f"CLIENT#{client['ClientId']}", "SK": "META", **item})
    # Where a tenant's callers are listed.
    listed = {"client_id": client["ClientId"], "name": name, "scopes": MACHINE_SCOPES}
    put(stack.tenancy, {"PK": f"CALLERS#{tenant_id}", "SK": f"CLIENT#{client['ClientId']}", **listed})
    return {"client_id": client["ClientId"], "client_secret": client["ClientSecret"]}


def known_passwords(out: Path | None, pool_id: str) -> dict[str, str]:
    """The passwords that an earlier run on the same user pool wrote to ``out``."""
    if out is None or not out.exists():
        return {}
    earlier = load(out)
    if earlier.get("outputs", {}).get("UserPoolId") != pool_id:
        return {}
    return {user["username"]: user["password"] for tenant in earlier.get("tenants", []) for user in tenant["users"]}


def seed_tenants(stack: Stack, document: dict[str, Any], passwords: dict[str, str]) -> list[dict[str, Any]]:
    """Write the secrets, the organisation, lines of business and tenants of ``document``; return who can sign in."""
    seed_secrets(stack, document.get("secrets", {}))
    above = [("ORG", document.get("org", {"limits": []})), *((f"LOB#{lob['lob_id']}", lob) for lob in document["lobs"])]
    is_changed = any([seed_scope(stack, key, item) for key, item in above])
    for lob in document["lobs"]:
        # Where the organisation's lines of business are listed; their tenants are in the index `tenants`.
        put(stack.tenancy, {"PK": "ORG", "SK": f"LOB#{lob['lob_id']}"})
    tenants = []
    for tenant in document["tenants"]:
        tenant_id = tenant["tenant_id"]
        entitlements = {name: value for name, value in tenant.items() if name != "people"}
        is_own = seed_scope(stack, f"TENANT#{tenant_id}", entitlements)
        seed_meter(stack, f"TENANT#{tenant_id}", is_changed and not is_own)
        people = tenant.get("people", [])
        tenants.append(
            {
                "tenant_id": tenant_id,
                "lob_id": tenant["lob_id"],
                "users": [seed_person(stack, tenant_id, who, passwords.get(who["username"])) for who in people],
                "machine_client": seed_machine_client(stack, tenant_id),
            }
        )
    return tenants


def write_private(path: Path, content: Any) -> None:
    """Write ``content`` as JSON to a file that only its owner can read, replacing it in one step."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    draft.replace(path)


def main() -> None:
    """Seed as the command line says."""
    parser = argparse.ArgumentParser(description="Seed a deployed Weir stack. Safe to run again.")
    parser.add_argument("--stack-name", required=True, help="name of the CloudFormation stack")
    parser.add_argument("--region", help="AWS Region; the profile's own if left out")
    parser.add_argument("--profile", help="profile of your AWS configuration")
    parser.add_argument("--endpoint-url", help="where AWS is, for a local stack")
    parser.add_argument("--catalog-only", action="store_true", help="only models, providers, aliases and prices, no tenants")
    parser.add_argument("--model-server", help="where the server is that providers.json calls ${model_server}; without it, it is left out")
    parser.add_argument("--real-models", metavar="URL", help="register the models of this OpenAI-compatible server for the first tenant")
    parser.add_argument("--tenants", type=Path, default=HERE / "local.json", help="document of LOBs and tenants")
    parser.add_argument("--out", type=Path, help="file for outputs, passwords and client secrets (mode 0600)")
    options = parser.parse_args()

    if not options.catalog_only and options.out is None:
        parser.error("--out is needed for tenants: without it, nobody would know the generated passwords")
    session = boto3.Session(profile_name=options.profile, region_name=options.region)
    stack = Stack(session, options.stack_name, options.endpoint_url)
    models = seed_catalog(stack, options.model_server)
    print(f"{len(models)} models, their providers, aliases and prices")
    tenants = []
    if not options.catalog_only:
        passwords = known_passwords(options.out, stack.pool_id)
        document = load(options.tenants)
        if options.real_models is not None:
            base_url = options.real_models.rstrip("/")
            models += seed_server(stack, base_url, document["tenants"][0], served_models(base_url))
        tenants = seed_tenants(stack, document, passwords)
        people = sum(len(tenant["users"]) for tenant in tenants)
        print(f"{len(tenants)} tenants, {people} people, {len(tenants)} machine clients")
    if options.out is not None:
        write_private(options.out, {"outputs": stack.outputs, "tenants": tenants, "models": models})


if __name__ == "__main__":
    main()
