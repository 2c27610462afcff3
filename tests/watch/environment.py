"""The environment in which a function that is started by hand finds the running local stack.

``.local/venv-tools/bin/python tests/watch/environment.py > .local/functions.env`` writes it in the form that
``cargo lambda watch --env-file`` reads. ``WEIR_STACK`` names another ``stack.json`` than ``.local/stack.json``.

The tenant access role trusts the role of ``invoke`` and nobody else, a person least of all. For functions that a person starts
there is a role beside it, with the same permissions, that trusts the account: made here, and only in a local AWS.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

ROOT = Path(__file__).resolve().parents[2]
LOCAL_HOSTS = {"127.0.0.1", "localhost", "::1"}


def load_stack() -> dict[str, Any]:
    """The stack that ``WEIR_STACK`` names, else the one that ``cargo xtask up`` describes in ``.local``."""
    path = Path(os.environ.get("WEIR_STACK") or ROOT / ".local" / "stack.json")
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: bring a stack up with `cargo xtask up --detach`")
    return json.loads(path.read_text(encoding="utf-8"))


def developer_role(stack: dict[str, Any]) -> str:
    """The ARN of a role that may do what the tenant access role may, and that the account may assume."""
    if urlsplit(stack["aws_endpoint_url"]).hostname not in LOCAL_HOSTS:
        raise ValueError(f"{stack['aws_endpoint_url']} is not a local AWS: no role is made there")
    iam = boto3.client(
        "iam",
        endpoint_url=stack["aws_endpoint_url"],
        region_name=stack["region"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    model = stack["outputs"]["TenantAccessRoleArn"].rpartition("/")[2]
    name = f"{stack['stack_name']}-developer"
    account = stack["outputs"]["TenantAccessRoleArn"].split(":")[4]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                "Action": ["sts:AssumeRole", "sts:TagSession"],
            }
        ],
    }
    try:
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    except iam.exceptions.EntityAlreadyExistsException:
        role = iam.get_role(RoleName=name)
    for policy in iam.list_role_policies(RoleName=model)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=model, PolicyName=policy)["PolicyDocument"]
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
    return role["Role"]["Arn"]


def environment(stack: dict[str, Any]) -> dict[str, str]:
    """What the template gives to the functions, and where the local AWS is. Every function finds its own in it."""
    outputs = stack["outputs"]
    return {
        "AWS_REGION": stack["region"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": stack["aws_endpoint_url"],
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": stack["model_sim_url"],
        "AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME": stack["model_sim_url"],
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": stack["model_sim_url"],
        "TENANCY_TABLE": outputs["TenancyTableName"],
        "LEDGER_TABLE": outputs["LedgerTableName"],
        "CONTENT_TABLE": outputs["ContentTableName"],
        "UPLOADS_BUCKET": outputs["UploadsBucketName"],
        "TENANT_ACCESS_ROLE_ARN": developer_role(stack),
        "SHADOW_FUNCTION": outputs["ShadowFunctionName"],
        "WEBSOCKET_ENDPOINT": f"{stack['aws_endpoint_url']}/_aws/execute-api/{outputs['SocketApiId']}/live",
        "AUDIT_BUCKET": outputs["AuditBucketName"],
        "LAKE_BUCKET": outputs["LakeBucketName"],
        "STATEMENTS_BUCKET": outputs["StatementsBucketName"],
        "EVENT_BUS_NAME": outputs["EventBusName"],
        "TIME_ZONE": "UTC",
        "CLOSING_DAY": "0",
        "BILLING_ACCOUNT_ID": outputs["TenantAccessRoleArn"].split(":")[4],
        "BILLING_ACCOUNT_NAME": stack["stack_name"],
        "CUR_BUCKET": "",
        "CUR_PREFIX": "",
        "INVOCATION_LOGS_BUCKET": "",
        "INVOCATION_LOGS_PREFIXES": "",
        "USER_POOL_ID": outputs["UserPoolId"],
        "ALLOW_LOCAL_ISSUERS": "true",
        "EVIDENCE_KEY_ARN": outputs["EvidenceKeyArn"],
        "STATE_MACHINE_ARN": outputs["TasksStateMachineArn"],
        "USER_POOL_CLIENT_ID": outputs["UserPoolClientId"],
        "SERVER_ID": outputs["ServerId"],
        "STS_REGIONS": stack["region"],
    }


def env_file(variables: dict[str, str]) -> str:
    """The variables, one a line."""
    return "".join(f"{name}={value}\n" for name, value in variables.items())


if __name__ == "__main__":
    sys.stdout.write(env_file(environment(load_stack())))
