"""Bearer tokens for Weir from AWS credentials: no secret to keep, nothing to register but the role.

A token is a presigned STS ``GetCallerIdentity``, as EKS takes them. The gateway sends it to STS and learns which role signed it.
The signature covers which gateway it is for (``server_id``, the stack's output ``ServerId``), so no other gateway can use it.

With any OpenAI SDK, renewed by itself::

    client = OpenAI(base_url=..., api_key=TokenProvider("eu-west-1", server_id))

From the shell: ``weir-token --server-id ...`` prints one, good for 15 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import sys
import threading
import time
from typing import Any

import botocore.session
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest

__all__ = ["MAX_LIFETIME_S", "TokenProvider", "token"]

PREFIX = "weir-aws-v1."
SERVER_ID_HEADER = "x-weir-server-id"
#: STS takes no signature that is older.
MAX_LIFETIME_S = 900
#: A token is renewed this long before its end, so that none ends on its way.
RENEW_BEFORE_S = 60
#: What hosts end with, where it is not as everywhere.
DNS_SUFFIXES = {
    "aws-cn": "amazonaws.com.cn",
    "aws-eusc": "amazonaws.eu",
    "aws-iso": "c2s.ic.gov",
    "aws-iso-b": "sc2s.sgov.gov",
    "aws-iso-e": "cloud.adc-e.uk",
    "aws-iso-f": "csp.hci.ic.gov",
}


class NoCredentials(RuntimeError):
    """There are no AWS credentials where botocore looks for them."""


def token(region: str, server_id: str, *, expires_in: int = MAX_LIFETIME_S, session: Any = None) -> str:
    """A token that ``session``'s role is good for, for ``expires_in`` seconds.

    ``region`` is one whose STS the gateway takes, by default its own. ``session`` is a botocore session, or a boto3 one.
    """
    if not 1 <= expires_in <= MAX_LIFETIME_S:
        raise ValueError(f"expires_in must be 1 to {MAX_LIFETIME_S} seconds")
    session = session or botocore.session.get_session()
    session = getattr(session, "_session", session)  # boto3's has botocore's in it
    credentials = session.get_credentials()
    if credentials is None:
        raise NoCredentials("no AWS credentials found; a role's are needed, for example by a profile or on EC2, ECS, EKS, Lambda")
    suffix = DNS_SUFFIXES.get(session.get_partition_for_region(region), "amazonaws.com")
    request = AWSRequest(
        method="GET",
        url=f"https://sts.{region}.{suffix}/?Action=GetCallerIdentity&Version=2011-06-15",
        headers={SERVER_ID_HEADER: server_id},
    )
    SigV4QueryAuth(credentials.get_frozen_credentials(), "sts", region, expires=expires_in).add_auth(request)
    return PREFIX + base64.urlsafe_b64encode(request.url.encode()).rstrip(b"=").decode()


class TokenProvider:
    """Tokens that are renewed in time. Give it to an SDK where that takes a function; any thread may call it.

    - OpenAI: ``api_key=provider``, ``api_key=provider.get_async`` for ``AsyncOpenAI``
    - httpx, requests and what is built on them: ``auth=provider.sign``
    """

    def __init__(self, region: str, server_id: str, *, expires_in: int = 300, session: Any = None) -> None:
        if not RENEW_BEFORE_S < expires_in <= MAX_LIFETIME_S:
            raise ValueError(f"expires_in must be more than {RENEW_BEFORE_S} and at most {MAX_LIFETIME_S} seconds")
        self._region = region
        self._server_id = server_id
        self._expires_in = expires_in
        self._session = session or botocore.session.get_session()
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0

    def __call__(self) -> str:
        """A token that is good for a minute at least."""
        with self._lock:
            if time.time() >= self._renew_at:
                made_at = time.time()
                self._token = token(self._region, self._server_id, expires_in=self._expires_in, session=self._session)
                self._renew_at = made_at + self._expires_in - RENEW_BEFORE_S
            return self._token

    async def get_async(self) -> str:
        """The same for asynchronous clients, in a thread: a role's credentials may have to be fetched."""
        return await asyncio.to_thread(self)

    def sign(self, request: Any) -> Any:
        """Puts a token into the request of an HTTP client, in place of whatever else would say who calls."""
        request.headers["authorization"] = f"Bearer {self()}"
        for other in ("x-api-key", "api-key"):
            request.headers.pop(other, None)
        return request


def main(arguments: list[str] | None = None) -> int:
    """Prints a token."""
    environment = os.environ.get
    parser = argparse.ArgumentParser(prog="weir-token", description="Print a bearer token for Weir, made from AWS credentials of a role.")
    parser.add_argument("--server-id", default=environment("WEIR_SERVER_ID"), help="the stack's output ServerId (WEIR_SERVER_ID)")
    parser.add_argument(
        "--region",
        default=environment("WEIR_REGION") or environment("AWS_REGION") or environment("AWS_DEFAULT_REGION"),
        help="a Region whose STS the gateway takes (WEIR_REGION, AWS_REGION, AWS_DEFAULT_REGION)",
    )
    parser.add_argument("--profile", default=None, help="a profile of the AWS configuration")
    parser.add_argument("--expires-in", type=int, default=MAX_LIFETIME_S, metavar="SECONDS", help="1 to 900; 900 unless given")
    options = parser.parse_args(arguments)
    for name in ("server_id", "region"):
        if not getattr(options, name):
            parser.error(f"--{name.replace('_', '-')} is needed")
    try:
        session = botocore.session.Session(profile=options.profile)
        print(token(options.region, options.server_id, expires_in=options.expires_in, session=session))
    except Exception as error:  # noqa: BLE001: botocore's have no common ancestor with ours, and a shell wants one line
        print(f"weir-token: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
