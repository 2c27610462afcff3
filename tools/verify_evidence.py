#!/usr/bin/env python3
"""Checks the evidence of an off-boarding, without any of Weir's code: Python's standard library and ``openssl`` are all it needs.

    tools/verify_evidence.py DIRECTORY                      # a copy: aws s3 sync s3://BUCKET/exports/tenant=ID/task=ID/ DIRECTORY
    tools/verify_evidence.py DIRECTORY --public-key KEY.pem # and the key is the one that you trust
    tools/verify_evidence.py DIRECTORY --live               # and everything is still gone, if boto3 is installed

It says what it checked and what is wrong, and exits with 1 if something is, with 2 if it could not look.

What holds for evidence, by which anybody can write this program again:

1. ``evidence.json`` is JSON in one form: no spaces, names in the order of their code points, whole numbers only.
2. ``evidence.sig`` is the signature of its bytes, ECDSA on P-256 with SHA-256, in DER; ``evidence.pub.pem`` is the public key, whose
   SHA-256 (of its DER) the evidence names. Whose key that is, only who made it can say: ``aws kms get-public-key``.
3. Each resource is of a class; what is ``deleted`` is of a class that is deleted, was seen to be absent after the deletion began
   and is listed once; what is ``retained`` says until when. ``counts`` has the sums.
4. Each exported file has the size and digest that the evidence names.

``--live`` lists the tables, buckets and the user pool that the evidence names, each to its end, and takes whatever is the tenant's
and is not of a class that is kept for a leftover; and it looks for the tombstone, without which the id could be given out again.
It needs dynamodb:Scan, s3:ListBucket, cognito-idp:ListGroups, ListUsersInGroup and ListUserPoolClients, and kms:GetPublicKey.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

EVIDENCE, SIGNATURE, PUBLIC_KEY = "evidence.json", "evidence.sig", "evidence.pub.pem"
ALGORITHM = "ECDSA_SHA_256"
TABLES = ("tenancy_table", "ledger_table", "content_table")


class Unable(Exception):
    """It could not be looked."""


@dataclass(frozen=True)
class Found:
    """Something that is there."""

    store: str
    place: str
    name: str
    #: Whose it says it is: the attribute ``tenant_id`` of an item, the name of a machine client.
    owner: str | None = None

    def __str__(self) -> str:
        return f"{self.store}: {' / '.join(filter(None, (self.place, self.name)))}"


def canonical(value: Any) -> bytes:
    """The one form of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a whole number")


def read(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The evidence, and its bytes."""
    try:
        content = (folder / EVIDENCE).read_bytes()
    except OSError as error:
        raise Unable(f"{EVIDENCE} cannot be read: {error}") from error
    try:
        evidence = json.loads(content, parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Unable(f"{EVIDENCE} is no JSON: {error}") from error
    if not isinstance(evidence, dict) or evidence.get("object") != "offboarding_evidence":
        raise Unable(f"{EVIDENCE} is no evidence of an off-boarding")
    return evidence, content


def der(pem: Path) -> bytes:
    """The key that a file holds."""
    try:
        lines = pem.read_text(encoding="ascii").strip().splitlines()
        if lines[0] != "-----BEGIN PUBLIC KEY-----" or lines[-1] != "-----END PUBLIC KEY-----":
            raise ValueError("it does not begin and end like one")
        return base64.b64decode("".join(lines[1:-1]), validate=True)
    except (OSError, ValueError, IndexError) as error:
        raise Unable(f"{pem} is no public key: {error}") from error


def signature(folder: Path) -> tuple[bool, str]:
    """Whether the signature is that of the evidence, and who says so."""
    for name in (SIGNATURE, PUBLIC_KEY):
        if not (folder / name).is_file():
            raise Unable(f"{name} is not in {folder}")
    if openssl := shutil.which("openssl"):
        command = [openssl, "dgst", "-sha256", "-verify", PUBLIC_KEY, "-signature", SIGNATURE, EVIDENCE]
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        return answer.returncode == 0 and "Verified OK" in answer.stdout, "openssl"
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise Unable("neither the command `openssl` nor the package `cryptography` is installed") from None
    key = load_pem_public_key((folder / PUBLIC_KEY).read_bytes())
    if not isinstance(key, EllipticCurvePublicKey):
        return False, "cryptography"
    try:
        key.verify((folder / SIGNATURE).read_bytes(), (folder / EVIDENCE).read_bytes(), ECDSA(SHA256()))
    except InvalidSignature:
        return False, "cryptography"
    return True, "cryptography"


def check_key(evidence: dict[str, Any], folder: Path, trusted: Path | None) -> Iterator[str]:
    """What is wrong with the key."""
    key = der(folder / PUBLIC_KEY)
    signing = evidence["signing"]
    if hashlib.sha256(key).hexdigest() != signing["public_key_sha256"]:
        yield f"{PUBLIC_KEY} is not the key that the evidence names"
    if signing["algorithm"] != ALGORITHM:
        yield f"it is signed by {signing['algorithm']}, not by {ALGORITHM}"
    if trusted and der(trusted) != key:
        yield f"{PUBLIC_KEY} is not the key in {trusted}"


def instant(text: Any) -> datetime:
    """A moment: as texts, those with more digits and fewer do not compare."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return datetime.min.replace(tzinfo=timezone.utc)


def check_resources(evidence: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the list of resources."""
    classes = {name: it["action"] for name, it in evidence["classes"].items()}
    kinds = {(rule["store"], rule["kind"]): rule["class"] for rule in evidence["rules"]}
    counts = {name: Counter() for name in classes}
    seen = set()
    for resource in evidence["resources"]:
        name = resource.get("name", resource.get("name_sha256"))
        what = f"{resource['store']}: {resource['kind']} {resource['place']} / {name}"
        if classes.get(resource["class"]) != resource["action"]:
            yield f"{what} is {resource['action']}, which is not what becomes of the class {resource['class']}"
            continue
        if kinds.get((resource["store"], resource["kind"])) != resource["class"]:
            yield f"{what} is of the class {resource['class']}, which no rule says"
        if (key := (resource["store"], resource["kind"], resource["place"], name)) in seen:
            yield f"{what} is listed twice"
        seen.add(key)
        counts[resource["class"]][resource["action"]] += resource.get("count", 1)
        if resource["action"] == "retained" and not resource.get("until"):
            yield f"{what} does not say until when it is kept"
        if resource["action"] == "deleted":
            if not instant(evidence["deletion_began_at"]) <= instant(resource.get("absent_at")) <= instant(evidence["finished_at"]):
                yield f"{what} was not seen to be absent between the deletion and the end"
    for name, count in counts.items():
        expected = {action: count[action] for action in ("deleted", "retained")}
        if evidence["counts"].get(name) != expected:
            yield f"the counts of the class {name} are {evidence['counts'].get(name)}; its resources are {expected}"


def check_exports(evidence: dict[str, Any], folder: Path) -> Iterator[str]:
    """What is wrong with the exported files."""
    for export in evidence["exports"]:
        file = folder / export["key"].rpartition("/")[2]
        if not file.is_file():
            yield f"{file.name} was exported and is not in {folder}"
            continue
        content = file.read_bytes()
        if (len(content), hashlib.sha256(content).hexdigest()) != (export["bytes"], export["sha256"]):
            yield f"{file.name} is not what was exported"


def offline(evidence: dict[str, Any], content: bytes, folder: Path, trusted: Path | None) -> Iterator[str]:
    """Everything that is wrong with the files."""
    if canonical(evidence) != content:
        yield f"{EVIDENCE} is not in its one form"
    is_signed, verifier = signature(folder)
    print(f"signature  {'good' if is_signed else 'WRONG'}, says {verifier}; key {evidence['signing']['key']}")
    if not is_signed:
        yield f"{SIGNATURE} is not the signature of {EVIDENCE}"
    try:
        yield from check_key(evidence, folder, trusted)
        yield from check_resources(evidence)
        yield from check_exports(evidence, folder)
    except (KeyError, TypeError, AttributeError) as error:
        yield f"a field that each evidence has is missing or no such field: {error}"


def _names(text: str, prefix: str, tenant: str, ends: str) -> bool:
    """Whether a text is the tenant's id behind a prefix, alone or followed by one of ``ends`` and more."""
    rest = text.removeprefix(prefix + tenant)
    return text.startswith(prefix + tenant) and (not rest or rest[0] in ends)


def _is_own_item(tenant: str, found: Found) -> bool:
    kind, _, rest = found.place.partition("#")
    second = rest.partition("#")[0]
    if kind in ("TENANT", "CALLERS"):
        return second == tenant
    if kind in ("ORG", "LOB"):
        return False
    if kind in ("CLIENT", "AWSROLE", "ISSUER", "TASK"):
        return found.owner == tenant
    if found.place == "AUDIT#HEADS":
        return found.name == f"tenant={tenant}"
    if found.place.startswith("AUDIT#CHAIN#"):
        return found.place == f"AUDIT#CHAIN#tenant={tenant}"
    prefixes = (("tenants/", "/#"), ("TENANT#", "#"), ("tenant=", "/#"))
    is_named = any(_names(found.name, prefix, tenant, ends) for prefix, ends in prefixes)
    return second == tenant or found.owner == tenant or is_named


def is_of(evidence: dict[str, Any], found: Found) -> bool:
    """Whether something is the tenant's. Ids count as a whole: `acme` and `acme-2` begin alike."""
    tenant = evidence["tenant_id"]
    if found.store in TABLES:
        return _is_own_item(tenant, found)
    if found.store == "user_pool":
        if found.place == "clients":
            return found.name in evidence["clients"] or _names(found.owner or "", "", tenant, ".")
        group = found.name if found.place == "groups" else found.place.removeprefix("members/")
        return group.startswith(f"{tenant}:")
    return f"/tenant={tenant}/" in f"/{found.name}" or f"/tenant/{tenant}/" in f"/{found.name}"


def is_kept(evidence: dict[str, Any], found: Found) -> bool:
    """Whether a rule says that it is kept."""
    tenant = evidence["tenant_id"]

    def fits(pattern: str, text: str) -> bool:
        parts = pattern.replace("{t}", tenant).split("*")
        return re.fullmatch(".*".join(map(re.escape, parts)), text, re.DOTALL) is not None

    for rule in evidence["rules"]:
        if rule["store"] == found.store and fits(rule["place"], found.place) and fits(rule["name"], found.name):
            return evidence["classes"][rule["class"]]["action"] == "retained"
    return False


class Live:
    """What there is now."""

    def __init__(self, evidence: dict[str, Any], client: Callable[[str], Any]) -> None:
        self._tenant = evidence["tenant_id"]
        self._places = evidence["places"]
        self._client = client

    def everything(self) -> Iterator[Found]:
        """Whatever may be the tenant's, in every store."""
        for store in TABLES:
            yield from self._items(store)
        yield from self._objects("uploads_bucket", [f"tenant={self._tenant}/"])
        for store in ("statements_bucket", "audit_bucket"):
            yield from self._objects(store, self._folders(store))
        yield from self._pool()

    def key(self) -> bytes:
        """The key that signs."""
        return self._client("kms").get_public_key(KeyId=self._places["signing_key"])["PublicKey"]

    def _items(self, store: str) -> Iterator[Found]:
        pages = self._client("dynamodb").get_paginator("scan").paginate(
            TableName=self._places[store],
            ConsistentRead=True,
            ProjectionExpression="PK, SK, tenant_id",
            FilterExpression="contains(PK, :id) OR contains(SK, :id) OR tenant_id = :id",
            ExpressionAttributeValues={":id": {"S": self._tenant}},
        )
        for page in pages:
            for item in page["Items"]:
                yield Found(store, item["PK"]["S"], item["SK"]["S"], item.get("tenant_id", {}).get("S"))

    def _folders(self, store: str) -> list[str]:
        """The tenant's folders, as far down as Weir has them, whatever is above them."""
        firsts = self._below(store, "")
        seconds = [second for first in firsts for second in self._below(store, first) if not second.removeprefix(first).startswith("tenant=")]
        marks = (f"tenant={self._tenant}/", f"tenant/{self._tenant}/")
        return [folder + mark for folder in ("", *firsts, *seconds) for mark in marks]

    def _below(self, store: str, prefix: str) -> list[str]:
        pages = self._client("s3").get_paginator("list_objects_v2").paginate(Bucket=self._places[store], Prefix=prefix, Delimiter="/")
        return [it["Prefix"] for page in pages for it in page.get("CommonPrefixes", [])]

    def _objects(self, store: str, prefixes: list[str]) -> Iterator[Found]:
        for prefix in prefixes:
            for page in self._client("s3").get_paginator("list_objects_v2").paginate(Bucket=self._places[store], Prefix=prefix):
                for found in page.get("Contents", []):
                    yield Found(store, "", found["Key"])

    def _pool(self) -> Iterator[Found]:
        cognito, pool = self._client("cognito-idp"), self._places["user_pool"]
        for page in cognito.get_paginator("list_groups").paginate(UserPoolId=pool):
            for group in page["Groups"]:
                name = group["GroupName"]
                if not name.startswith(f"{self._tenant}:"):
                    continue
                yield Found("user_pool", "groups", name)
                for members in cognito.get_paginator("list_users_in_group").paginate(UserPoolId=pool, GroupName=name):
                    for user in members["Users"]:
                        yield Found("user_pool", f"members/{name}", user["Username"])
        for page in cognito.get_paginator("list_user_pool_clients").paginate(UserPoolId=pool):
            for client in page["UserPoolClients"]:
                yield Found("user_pool", "clients", client["ClientId"], client.get("ClientName"))


def live(evidence: dict[str, Any], folder: Path, client: Callable[[str], Any]) -> Iterator[str]:
    """Everything that is there and should not be."""
    now = Live(evidence, client)
    if now.key() != der(folder / PUBLIC_KEY):
        yield f"{PUBLIC_KEY} is not the key {evidence['signing']['key']} of this account"
    looked, kept, has_tombstone = 0, 0, False
    for found in now.everything():
        looked += 1
        if not is_of(evidence, found):
            continue
        if is_kept(evidence, found):
            kept += 1
            has_tombstone |= found.name == "TOMBSTONE"
        else:
            yield f"left over in {found}"
    if not has_tombstone:
        yield f"there is no tombstone: the id {evidence['tenant_id']} could be given out again"
    print(f"live       {looked} things looked at in {len(evidence['places']) - 1} stores, {kept} of the tenant's are kept")


def main() -> int:
    """Checks what the arguments name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("directory", type=Path, help="a copy of the folder of the task")
    parser.add_argument("--public-key", type=Path, help="the key that you trust, as PEM")
    parser.add_argument("--live", action="store_true", help="look whether everything is still gone")
    parser.add_argument("--endpoint-url", help="where AWS is, if it is not AWS")
    arguments = parser.parse_args()
    try:
        evidence, content = read(arguments.directory)
        faults = list(offline(evidence, content, arguments.directory, arguments.public_key))
        for name, count in sorted(evidence.get("counts", {}).items()):
            print(f"{name:<13}  {count['deleted']} deleted, {count['retained']} retained")
        if arguments.live and faults:
            # Where to look is what the evidence says: of one that is wrong, nothing is worth looking for.
            print("live       not looked, since the evidence is wrong")
        elif arguments.live:
            try:
                import boto3
                from botocore.exceptions import BotoCoreError, ClientError
            except ImportError:
                raise Unable("--live needs the package `boto3`") from None
            try:
                faults += live(evidence, arguments.directory, lambda name: boto3.client(name, endpoint_url=arguments.endpoint_url))
            except (BotoCoreError, ClientError) as error:
                raise Unable(f"AWS could not be looked into: {error}") from error
    except Unable as error:
        print(error, file=sys.stderr)
        return 2
    for fault in faults:
        print(f"FAULT  {fault}")
    print(f"{'WRONG' if faults else 'whole'}  {evidence['tenant_id']}, off-boarded by task {evidence['task_id']}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
