"""Loads what the contract tests compare: template, OpenAPI document, workspace."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]

# The translator asks for a Region when it is imported.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
from samtranslator.translator.transform import transform  # noqa: E402


class TemplateLoader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, read into their long form."""


def _intrinsic(loader: TemplateLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


TemplateLoader.add_multi_constructor("!", _intrinsic)


@cache
def openapi() -> dict[str, Any]:
    """The API contract, without CloudFormation's short tags, which AWS::Include does not understand."""
    return yaml.safe_load((ROOT / "infra/openapi.yaml").read_text())


@cache
def template() -> dict[str, Any]:
    """The template as written."""
    return yaml.load((ROOT / "template.yaml").read_text(), TemplateLoader)  # noqa: S506: a safe loader, extended


@cache
def transformed() -> dict[str, Any]:
    """The template as CloudFormation sees it: the contract included, SAM's transform applied."""
    source = yaml.load((ROOT / "template.yaml").read_text(), TemplateLoader)  # noqa: S506
    for resource in source["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            properties["CodeUri"] = "s3://bucket/key"
        if resource["Type"] == "AWS::Serverless::Api":
            include = properties["DefinitionBody"]["Fn::Transform"]["Parameters"]
            properties["DefinitionBody"] = yaml.safe_load((ROOT / include["Location"]).read_text())

    class NoManagedPolicies:
        """No role is SAM's, so no managed policy is ever looked up."""

        def load(self) -> dict[str, str]:
            return {}

    return transform(source, {}, NoManagedPolicies())


def resources(kind: str, of: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """Resources of a type, by logical id."""
    every = (of or template())["Resources"]
    return {name: resource for name, resource in every.items() if resource["Type"] == kind}


def functions() -> dict[str, dict[str, Any]]:
    """Functions of the template, by logical id."""
    return resources("AWS::Serverless::Function")


METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "x-amazon-apigateway-any-method"}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Operations of an OpenAPI document, with a name a person recognises."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield f"{'ANY' if method.startswith('x-') else method.upper()} {path}", operation


def function_of(uri: dict[str, str]) -> str:
    """The logical id of the function that an integration's or authorizer's URI names."""
    found = re.search(r"/functions/\$\{(\w+)\.Arn\}/", uri["Fn::Sub"])
    assert found, f"{uri} names no function"
    return found[1]


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    """Statements that say what a role may do, with the role's logical id."""
    for name, role in resources("AWS::IAM::Role").items():
        for policy in role["Properties"].get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement
    for policy in resources("AWS::IAM::Policy").values():
        for role in policy["Properties"]["Roles"]:
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                yield role["Ref"], statement


def as_list(value: Any) -> list[Any]:
    """IAM takes a string where there is one of something."""
    return value if isinstance(value, list) else [value]


@cache
def workspace_functions() -> dict[str, str]:
    """Binaries of the workspace members in functions/, with their folder."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603
    members = [(Path(package["manifest_path"]).parent, package) for package in json.loads(answer.stdout)["packages"]]
    return {
        target["name"]: folder.name
        for folder, package in members
        if folder.parent == ROOT / "functions"
        for target in package["targets"]
        if "bin" in target["kind"]
    }
