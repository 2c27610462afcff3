"""Official SDKs in the tests' own process, each made as its manual says, without retries: they would hide much."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import boto3
from anthropic import Anthropic
from botocore.config import Config

from front import Front
from stack import TIMEOUT_S, Caller

#: Where AWS SDKs find the gateway, after the stage.
BEDROCK_PATH = "/bedrock"


def origin(caller: Caller) -> str:
    """Where the gateway's routes begin: the stage, without ``/v1``."""
    return caller.stack.base_url.removesuffix("/v1")


def anthropic(caller: Caller) -> Anthropic:
    """Anthropic's SDK. It puts ``/v1`` into its paths by itself."""
    return Anthropic(base_url=origin(caller), auth_token=caller.token, api_key=None, max_retries=0, timeout=TIMEOUT_S)


@contextmanager
def bedrock(caller: Caller, tls: Front) -> Iterator[Any]:
    """boto3's ``bedrock-runtime``. It reads the token from the environment when it first needs it, and wants TLS."""
    with mock.patch.dict("os.environ", AWS_BEARER_TOKEN_BEDROCK=caller.token):
        yield boto3.client(
            "bedrock-runtime",
            endpoint_url=tls.url(origin(caller) + BEDROCK_PATH),
            region_name=caller.stack.region,
            verify=str(tls.authority),
            config=Config(retries={"total_max_attempts": 1}, read_timeout=TIMEOUT_S),
        )
