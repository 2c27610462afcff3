#!/usr/bin/env python3
"""Write ``bedrock.json``: reference prices of Amazon Bedrock, from the price map of LiteLLM (MIT licence).

    pip download --no-deps litellm==1.109.1
    python3 infra/prices/from_litellm.py litellm-1.109.1-*.whl

The map is one JSON object in the wheel; its entries name AWS's public price list or price page as their source. Each entry
becomes one row per service tier, with the price as the gateway's price books have it (pico-USD, integers) and, under
``usd``, the decimals that it was made from, unchanged. A decimal that is no whole number of pico-USD is an error.
What a price book cannot hold is listed under ``left_out``, by reason and field: nothing is dropped in silence.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import zipfile
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MEMBER = "litellm/model_prices_and_context_window_backup.json"
LICENCE = "licenses/LICENSE"

#: Kinds of tokens: the price book's name and the map's.
TOKENS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write_5m": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "input_audio": "input_cost_per_audio_token",
    "output_audio": "output_cost_per_audio_token",
}
#: What is counted by the piece.
PIECES = {"image": "output_cost_per_image", "search_unit": "input_cost_per_query"}
TIERS = {"default": "", "priority": "_priority", "flex": "_flex", "batch": "_batches"}
#: Why a field has no place in a price book.
NO_PLACE = {
    "cost_per_second": "provisioned capacity, billed by the hour whoever calls",
    "input_cost_per_second": "provisioned capacity, billed by the hour whoever calls",
    "input_cost_per_image": "input pictures: no usage record counts them",
    "input_cost_per_image_token": "input pictures: no usage record counts them",
    "input_cost_per_audio_per_second": "seconds of sound: no usage record counts them",
    "input_cost_per_video_per_second": "seconds of video: no usage record counts them",
    "search_context_cost_per_query": "web search by the provider, which the gateway refuses",
}
REGION = re.compile(r"bedrock/([a-z]{2}(?:-gov)?-[a-z]+-\d)/(.+)")
THRESHOLD = re.compile(r"_above_(\d+)k_tokens")
GEOGRAPHIES = {"us", "eu", "apac", "au", "jp", "in", "ca", "us-gov"}

Entry = dict[str, Any]
Row = dict[str, Any]


class LeftOut:
    """What has no row, and why."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))

    def add(self, reason: str, field: str, key: str) -> None:
        self._entries[reason][field].append(key)

    def as_json(self) -> list[dict[str, Any]]:
        return [
            {"reason": reason, "field": field, "entries": sorted(keys)}
            for reason, fields in sorted(self._entries.items())
            for field, keys in sorted(fields.items())
        ]


def pico(usd: str) -> int:
    """Dollars as trillionths of one, exactly."""
    amount = Decimal(usd) * 10**12
    if not amount.is_finite() or amount < 0 or amount != amount.to_integral_value():
        raise ValueError(f"`{usd}` is no whole number of pico-USD")
    return int(amount)


def priced(usd: Any) -> Any:
    """The same, with numbers of pico-USD in place of decimals of dollars."""
    if isinstance(usd, dict):
        return {name: value if name == "above_input_tokens" else priced(value) for name, value in usd.items()}
    return [priced(value) for value in usd] if isinstance(usd, list) else pico(usd)


def identity(key: str) -> dict[str, str] | None:
    """What an entry is about; none if it is about nothing that is called and billed by use."""
    # `@` stands in other clouds' names of models.
    if "-month-commitment/" in key or "claude_platform/" in key or "@" in key:
        return None
    terms: dict[str, str] = {}
    if in_region := REGION.fullmatch(key):
        terms["region"], key = in_region.groups()
    variant, _, name = key.removeprefix("bedrock/").removeprefix("invoke/").rpartition("/")
    if variant:
        terms["variant"] = variant.removesuffix("/bedrock")
    prefix, _, rest = name.partition(".")
    is_profile = prefix == "global" or (prefix in GEOGRAPHIES and "." in rest)
    scope = "global" if prefix == "global" else "geo" if is_profile else "in_region"
    return {"id": name, "model": rest if is_profile else name, "profile_scope": scope, **terms}


def tokens(entry: Entry, suffix: str) -> dict[str, str]:
    """The prices of tokens whose fields end so."""
    return {kind: entry[field + suffix] for kind, field in TOKENS.items() if field + suffix in entry}


def usd_of(entry: Entry, tier: str) -> dict[str, Any]:
    """An entry's prices in a tier, in dollars."""
    suffix = TIERS[tier]
    usd: dict[str, Any] = tokens(entry, suffix)
    usd |= {kind: entry[field + suffix] for kind, field in PIECES.items() if field + suffix in entry}
    thresholds = sorted({int(found[1]) for field in entry if (found := THRESHOLD.search(field))})
    long_context = []
    for threshold in thresholds:
        long = tokens(entry, f"_above_{threshold}k_tokens{suffix}")
        if not {"input", "output"} <= long.keys() and tier in ("flex", "batch"):
            # Not said: that of the default tier, which is dearer.
            long = tokens(entry, f"_above_{threshold}k_tokens")
        long_context.append({"above_input_tokens": threshold * 1000, **long})
    return {**usd, "long_context": long_context} if long_context else usd


def rows_of(key: str, entry: Entry, left_out: LeftOut) -> list[Row]:
    """The rows of an entry."""
    about = identity(key)
    if about is None:
        left_out.add("provisioned capacity, or no name of Bedrock's runtime", "*", key)
        return []
    if "guardrail_cost_per_unit" in entry:
        units = entry["guardrail_cost_per_unit"].items()
        return [
            {"id": "guardrail", "model": "guardrail", "variant": policy, "price": {"input": 0, "output": 0, "guardrail_unit": pico(usd)}, "usd": {"guardrail_unit": usd}}
            for policy, usd in units
        ]
    known = {field + suffix for field in (TOKENS | PIECES).values() for suffix in TIERS.values()}
    for field in entry:
        without = THRESHOLD.sub("", field)
        if "cost" in field and without not in known:
            reason = "a tier that no client can ask for" if "ultrafast" in field else NO_PLACE.get(field, "not known here")
            left_out.add(reason, field, key)
    rows = []
    for tier, suffix in TIERS.items():
        usd = usd_of(entry, tier)
        kinds = usd.keys() - {"long_context"}
        if not kinds:
            continue
        is_priced_by_piece = kinds <= PIECES.keys()
        if not is_priced_by_piece and not {"input", "output"} <= kinds:
            left_out.add(f"no price of input or output in the {tier} tier", "*", key)
            continue
        if any(not {"input", "output"} <= long.keys() for long in usd.get("long_context", [])):
            left_out.add(f"no price of long contexts in the {tier} tier", "*", key)
            continue
        term = {} if tier == "default" else {"service_tier": tier}
        rows.append({**about, **term, "price": {"input": 0, "output": 0, **priced(usd)}, "usd": usd})
    if not rows:
        left_out.add("no price that a price book holds", "*", key)
    return rows


def convert(wheel: Path) -> dict[str, Any]:
    """All rows, and where they are from."""
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(MEMBER)
        licence = next(name for name in archive.namelist() if name.endswith(LICENCE))
        terms = archive.read(licence).decode()
    version = wheel.name.split("-")[1]
    entries = json.loads(content, parse_float=str, parse_int=str)
    left_out, rows, seen = LeftOut(), [], {}
    for key, entry in sorted(entries.items()):
        provider = str(entry.get("litellm_provider", ""))
        if provider == "bedrock_mantle":
            left_out.add("provisioned capacity, or no name of Bedrock's runtime", "*", key)
        elif provider in ("bedrock", "bedrock_converse"):
            for row in rows_of(key, entry, left_out):
                terms_of_row = tuple(row.get(name) for name in ("id", "region", "service_tier", "variant"))
                if terms_of_row not in seen:
                    seen[terms_of_row] = row
                    rows.append(row)
                elif seen[terms_of_row]["price"] != row["price"]:
                    raise ValueError(f"`{key}` has another price than an entry of the same terms")
    return {
        "comment": "Written by infra/prices/from_litellm.py. Prices in pico-USD; `usd` holds the decimals of the source.",
        "source": {
            "package": f"litellm=={version}",
            "file": MEMBER,
            "sha256": hashlib.sha256(content).hexdigest(),
            "licence": terms[terms.index("MIT License") :].strip().splitlines(),
        },
        "provider": "aws.bedrock",
        "currency": "USD",
        "rows": rows,
        "left_out": left_out.as_json(),
    }


def write(path: Path, document: dict[str, Any]) -> None:
    """Write JSON with one row a line, so that a change of a price is a change of a line."""
    lines = []
    for name, value in document.items():
        if isinstance(value, list):
            items = ",\n".join("    " + json.dumps(item) for item in value)
            lines.append(f"  {json.dumps(name)}: [\n{items}\n  ]")
        else:
            lines.append(f"  {json.dumps(name)}: {json.dumps(value)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Convert as the command line says."""
    parser = argparse.ArgumentParser(description="Write bedrock.json from a wheel of LiteLLM.")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "bedrock.json")
    options = parser.parse_args()
    document = convert(options.wheel)
    write(options.out, document)
    print(f"{len(document['rows'])} rows; left out: {sum(len(it['entries']) for it in document['left_out'])} prices or entries")


if __name__ == "__main__":
    main()
