#!/usr/bin/env python3
"""Checks Weir's audit trail, without any of Weir's code: Python's standard library is all it needs.

    tools/verify_audit.py DIRECTORY              # a copy: aws s3 sync s3://BUCKET DIRECTORY
    tools/verify_audit.py s3://BUCKET            # the bucket itself, if boto3 is installed
    tools/verify_audit.py DIRECTORY --chain tenant=acme --head 1024:9f86d0...

It reads ``audit/dt=<day>/<chain>/<first record>.jsonl``, one record a line, and ``checkpoints/<day>.jsonl``, the heads that the
organisation's chain names once a day. It names the first record of each chain that is wrong, and exits with 1 if there is one,
with 2 if it could not look.

What holds for every record, by which anybody can write this program again:

1. A line is the record's JSON in one form: no spaces, names in the order of their code points, whole numbers only, in texts
   only what has to be escaped.
2. ``hash`` is the SHA-256 of that form of the record without ``hash``.
3. ``previous_hash`` is the hash of the record before it; that of the first record is 64 zeros.
4. ``sequence`` is 1, 2, 3, ..; a file is named for its first record, with 20 digits, and no entry is in a chain twice.
5. A record of the organisation's chain with the action ``audit.checkpoint`` has the SHA-256 of the list that its ``subject``
   names, and each line of the list is a record that its chain has.

From S3 it also looks at versions: nothing in the bucket is ever written twice or deleted, so a second version or a delete marker
is somebody's doing. It reads the oldest version, which Object Lock keeps.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

NOTHING = "0" * 64
SEGMENT = re.compile(r"audit/dt=(\d{4}-\d{2}-\d{2})/(org|(?:lob|tenant)/[a-z0-9-]+)/(\d{20})\.jsonl")
CHECKPOINT = re.compile(r"checkpoints/(\d{4}-\d{2}-\d{2})\.jsonl")


@dataclass
class Fault(Exception):
    """Something is wrong."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class Source(Protocol):
    """Where files come from."""

    def names(self) -> list[str]:
        """Every file."""

    def read(self, name: str) -> bytes:
        """What is in one."""

    def faults(self) -> list[Fault]:
        """What is wrong with files as such."""


class Directory:
    """A copy of the bucket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        return sorted(file.relative_to(self._path).as_posix() for file in self._path.rglob("*") if file.is_file())

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def faults(self) -> list[Fault]:
        return []


class Bucket:
    """The bucket itself."""

    def __init__(self, name: str, endpoint: str | None) -> None:
        import boto3  # Only here, so that a copy can be checked without it.

        self._s3 = boto3.client("s3", endpoint_url=endpoint)
        self._name = name
        self._oldest: dict[str, tuple[Any, str]] = {}
        self._faults: list[Fault] = []
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=name):
            for version in page.get("Versions", []):
                key, found = version["Key"], (version["LastModified"], version["VersionId"])
                if key in self._oldest:
                    self._faults.append(Fault(key, "it was written more than once; the oldest version is checked"))
                    found = min(found, self._oldest[key])
                self._oldest[key] = found
            self._faults += [Fault(marker["Key"], "somebody deleted it") for marker in page.get("DeleteMarkers", [])]

    def names(self) -> list[str]:
        return sorted(self._oldest)

    def read(self, name: str) -> bytes:
        _, version = self._oldest[name]
        return self._s3.get_object(Bucket=self._name, Key=name, VersionId=version)["Body"].read()

    def faults(self) -> list[Fault]:
        return self._faults


@dataclass
class Chain:
    """What was found of a chain."""

    name: str
    sequence: int = 0
    hash: str = NOTHING
    #: The hash of each record.
    hashes: dict[int, str] = field(default_factory=dict)
    entries: set[tuple[str, str]] = field(default_factory=set)
    #: The lists of heads that its records name, with their hashes.
    checkpoints: dict[str, str] = field(default_factory=dict)
    fault: Fault | None = None

    def file(self, name: str, first: int, content: bytes) -> None:
        """Takes the next file in."""
        self._expect(name, first, "the file should begin with it")
        try:
            text = content.decode()
        except UnicodeDecodeError:
            self._wrong(name, "the file is not text in UTF-8")
        if not text.endswith("\n"):
            self._wrong(name, "the file ends within a line")
        for line in text[:-1].split("\n"):
            self._record(name, line)

    def _record(self, name: str, line: str) -> None:
        try:
            record = json.loads(line, parse_float=_refuse, parse_constant=_refuse)
            is_canonical = canonical(record) == line.encode()
        except (ValueError, RecursionError):
            is_canonical = False
        if not is_canonical or not isinstance(record, dict):
            self._wrong(name, "it is not a record in its one form")
        texts = [record.get(field) for field in ("chain", "id", "time", "previous_hash", "hash")]
        sequence = record.get("sequence")
        if not all(isinstance(text, str) for text in texts) or not isinstance(sequence, int) or isinstance(sequence, bool):
            self._wrong(name, "a field that each record has is missing")
        chain, entry_id, time, previous, claimed = texts
        rest = {field: value for field, value in record.items() if field != "hash"}
        if hashlib.sha256(canonical(rest)).hexdigest() != claimed:
            self._wrong(name, "it was changed: it is not what its hash was made of")
        if chain != self.name:
            self._wrong(name, f"it belongs to the chain {chain}")
        self._expect(name, sequence, "the record says that it is")
        if previous != self.hash:
            self._wrong(name, "it does not follow the record before it: one of the two was exchanged")
        if (time, entry_id) in self.entries:
            self._wrong(name, f"the entry {entry_id} was in the chain before")
        self.entries.add((time, entry_id))
        self.sequence, self.hash = sequence, claimed
        self.hashes[sequence] = claimed
        if record.get("action") == "audit.checkpoint" and self.name == "org":
            after = record.get("after")
            self.checkpoints[str(record.get("subject"))] = str(after.get("sha256")) if isinstance(after, dict) else ""

    def _expect(self, name: str, sequence: int, how: str) -> None:
        if sequence > self.sequence + 1:
            self._wrong(name, f"records are missing: this is {sequence} ({how})")
        if sequence < self.sequence + 1:
            self._wrong(name, f"a record is there twice: this is {sequence} ({how})")

    def _wrong(self, name: str, what: str) -> NoReturn:
        raise Fault(f"{self.name} record {self.sequence + 1} in {name}", what)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a whole number")


def canonical(value: Any) -> bytes:
    """The one form of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def segments(names: list[str]) -> Iterator[tuple[str, int, str]]:
    """The chain, first record and name of each file, in the order of records."""
    for name in names:
        if found := SEGMENT.fullmatch(name):
            yield found[2].replace("/", "="), int(found[3]), name


def check(source: Source, only: str | None, heads: dict[str, tuple[int, str]]) -> tuple[dict[str, Chain], list[Fault]]:
    """The chains, and everything that is wrong: of each chain what is first."""
    names = source.names()
    chains = {name: Chain(name) for name in [only] if name}
    faults = source.faults()
    for chain_name, first, name in sorted(segments(names)):
        if only and chain_name != only:
            continue
        chain = chains.setdefault(chain_name, Chain(chain_name))
        if chain.fault:
            continue
        try:
            chain.file(name, first, source.read(name))
        except Fault as fault:
            chain.fault = fault
            faults.append(fault)
    # A name that is neither is nothing of Weir's: records could be hidden behind it.
    faults += [Fault(name, "this is not the name of a file of the trail") for name in names if not (SEGMENT.fullmatch(name) or CHECKPOINT.fullmatch(name))]
    for chain_name, (sequence, known) in heads.items():
        faults += _stands(chains, chain_name, sequence, known, "the head that you gave")
    if only in (None, "org") and "org" in chains:
        faults += checkpoints(source, names, chains, is_whole=only is None)
    return chains, faults


def checkpoints(source: Source, names: list[str], chains: dict[str, Chain], *, is_whole: bool) -> list[Fault]:
    """What is wrong with the lists of heads, or with what they name."""
    faults = []
    known = chains["org"].checkpoints
    for name in names:
        if not CHECKPOINT.fullmatch(name):
            continue
        content = source.read(name)
        if name not in known:
            # The record follows the list at once; between the two it may be missing.
            if name != max(filter(CHECKPOINT.fullmatch, names)) and not chains["org"].fault:
                faults.append(Fault(name, "no record of the organisation's chain names it"))
        elif hashlib.sha256(content).hexdigest() != known[name]:
            faults.append(Fault(name, "it was changed: the organisation's chain has another hash of it"))
        elif is_whole:
            for line in content.decode().splitlines():
                head = json.loads(line)
                faults += _stands(chains, head["chain"], head["sequence"], head["hash"], name)
    return faults + [Fault(name, "the organisation's chain names it, and it is not there") for name in known if name not in names]


def _stands(chains: dict[str, Chain], name: str, sequence: int, known: str, said_by: str) -> list[Fault]:
    """What is wrong if a chain does not have a record that somebody knows."""
    chain = chains.get(name) or Chain(name)
    if chain.fault and sequence > chain.sequence:
        return []  # Said already, and what follows was not looked at.
    where = f"{name} record {min(sequence, chain.sequence + 1)}"
    if sequence > chain.sequence:
        return [Fault(where, f"records are missing: {said_by} names record {sequence}")]
    if sequence and chain.hashes[sequence] != known:
        return [Fault(where, f"the chain was written anew: {said_by} names another hash")]
    return []


def _head(text: str) -> tuple[int, str]:
    sequence, separator, known = text.partition(":")
    if not separator or not sequence.isdigit() or not re.fullmatch(r"[0-9a-f]{64}", known):
        raise argparse.ArgumentTypeError("a head is <sequence>:<hash>, as GET /v1/audit/verify shows it")
    return int(sequence), known


def main() -> int:
    """Checks what the arguments name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("source", help="a directory, or s3://<bucket>")
    parser.add_argument("--chain", help="check only this one: org, lob=<id> or tenant=<id>")
    parser.add_argument("--head", type=_head, help="a head that you know of that chain, as <sequence>:<hash>")
    parser.add_argument("--endpoint-url", help="where S3 is, if not on AWS")
    arguments = parser.parse_args()
    if arguments.head and not arguments.chain:
        parser.error("--head needs --chain")
    if arguments.source.startswith("s3://"):
        try:
            source: Source = Bucket(arguments.source.removeprefix("s3://").rstrip("/"), arguments.endpoint_url)
        except ImportError:
            parser.error("boto3 is not installed; copy the bucket with `aws s3 sync`, and check the copy")
    elif Path(arguments.source).is_dir():
        source = Directory(Path(arguments.source))
    else:
        parser.error(f"{arguments.source} is not a directory")
    heads = {arguments.chain: arguments.head} if arguments.head else {}
    chains, faults = check(source, arguments.chain, heads)
    for chain in sorted(chains.values(), key=lambda chain: chain.name):
        state = "WRONG" if chain.fault else "whole"
        print(f"{state}  {chain.name}  {chain.sequence} records  head {chain.sequence}:{chain.hash}")
    for fault in faults:
        print(f"FAULT  {fault}")
    if not chains:
        print(f"There is no audit trail in {arguments.source}.", file=sys.stderr)
        return 2
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
