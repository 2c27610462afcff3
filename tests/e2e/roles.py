"""Roles of functions, as somebody who has got hold of one would use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from stack import Stack


@contextmanager
def assumed(stack: Stack, output: str) -> Iterator[dict[str, str]]:
    """Credentials of the role of the function that an output names.

    An administrator (the test) lets the account's root assume the role for a while; what it may do is not touched.
    """
    iam = stack.aws("iam")
    function = stack.aws("lambda").get_function_configuration(FunctionName=stack.outputs[output])
    role_name, account = function["Role"].rsplit("/", 1)[1], function["Role"].split(":")[4]
    trust = iam.get_role(RoleName=role_name)["Role"]["AssumeRolePolicyDocument"]
    root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    opened = {**trust, "Statement": [*trust["Statement"], root]}
    iam.update_assume_role_policy(RoleName=role_name, PolicyDocument=json.dumps(opened))
    try:
        yield stack.aws("sts").assume_role(RoleArn=function["Role"], RoleSessionName="weir-e2e")["Credentials"]
    finally:
        iam.update_assume_role_policy(RoleName=role_name, PolicyDocument=json.dumps(trust))
