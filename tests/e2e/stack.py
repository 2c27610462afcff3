"""The running stack as ``stack.json`` describes it, and the people and programs that may call it."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import httpx2
from botocore.config import Config
from openai import AsyncOpenAI, OpenAI

ROOT = Path(__file__).resolve().parents[2]
#: Each tenant with a model that is translated to Converse and one that gets the caller's own bytes.
ROUTES = [
    ("acme", "claude-sonnet-4-5"),
    ("acme", "gpt-oss-120b"),
    ("globex", "nova-pro"),
    ("globex", "gpt-oss-20b"),
]
#: Seconds that a call may take on a busy machine.
TIMEOUT_S = 120


@dataclass(frozen=True)
class Stack:
    """Where everything is."""

    document: dict[str, Any]

    @classmethod
    def load(cls) -> Stack:
        """The stack that ``WEIR_STACK`` names, else the one that ``cargo xtask up`` describes in ``.local``."""
        path = Path(os.environ.get("WEIR_STACK") or ROOT / ".local" / "stack.json")
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: bring a stack up with `cargo xtask up --detach`")
        return cls(json.loads(path.read_text(encoding="utf-8")))

    @property
    def base_url(self) -> str:
        """What an SDK gets as ``base_url``."""
        return self.document["base_url"]

    @property
    def region(self) -> str:
        """The Region of everything."""
        return self.document["region"]

    @property
    def outputs(self) -> dict[str, str]:
        """Outputs of the CloudFormation stack."""
        return self.document["outputs"]

    @property
    def aws_url(self) -> str:
        """The local AWS."""
        return self.document["aws_endpoint_url"]

    @property
    def model_sim_url(self) -> str:
        """The model simulator."""
        return self.document["model_sim_url"]

    @property
    def issuer(self) -> str:
        """What the user pool writes into the ``iss`` claim."""
        return f"https://cognito-idp.{self.region}.amazonaws.com/{self.outputs['UserPoolId']}"

    @cached_property
    def http(self) -> httpx2.Client:
        """For whatever no SDK would send."""
        return httpx2.Client(trust_env=False, timeout=TIMEOUT_S)

    def aws(self, service: str, credentials: dict[str, str] | None = None) -> Any:
        """A boto3 client, as the account's root unless ``credentials`` (of an STS answer) say otherwise."""
        keys = credentials or {"AccessKeyId": "test", "SecretAccessKey": "test"}
        return boto3.client(
            service,
            endpoint_url=self.aws_url,
            region_name=self.region,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"),
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=64),
        )

    def table(self, output: str) -> Any:
        """The DynamoDB table that an output names, as boto3's resource."""
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=self.region)
        return session.resource("dynamodb", endpoint_url=self.aws_url).Table(self.outputs[output])

    def sign_in(self, username: str, password: str) -> dict[str, str]:
        """A person's tokens, as Cognito answers them."""
        answer = self.aws("cognito-idp").initiate_auth(
            AuthFlow="USER_PASSWORD_AUTH",
            ClientId=self.outputs["UserPoolClientId"],
            AuthParameters={"USERNAME": username, "PASSWORD": password},
        )
        return answer["AuthenticationResult"]

    def client_credentials(self, client: dict[str, str], scope: str = "weir/invoke weir/read") -> str:
        """A program's access token."""
        answer = self.http.post(
            f"{self.aws_url}/oauth2/token",
            data={"grant_type": "client_credentials", "scope": scope},
            auth=(client["client_id"], client["client_secret"]),
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def tenant(self, tenant_id: str) -> dict[str, Any]:
        """A seeded tenant."""
        return next(tenant for tenant in self.document["tenants"] if tenant["tenant_id"] == tenant_id)

    def person(self, tenant_id: str, role: str) -> Caller:
        """A seeded person, signed in."""
        tenant = self.tenant(tenant_id)
        user = next(user for user in tenant["users"] if user["role"] == role)
        token = self.sign_in(user["username"], user["password"])["AccessToken"]
        return Caller(self, tenant_id, tenant["lob_id"], token)

    def machine(self, tenant_id: str) -> Caller:
        """A seeded program, with its token."""
        tenant = self.tenant(tenant_id)
        return Caller(self, tenant_id, tenant["lob_id"], self.client_credentials(tenant["machine_client"]))


@dataclass(frozen=True)
class Caller:
    """Somebody with a token of a tenant."""

    stack: Stack = field(repr=False)
    tenant_id: str
    lob_id: str
    token: str = field(repr=False)
    #: Of a program; nothing of a person.
    client_id: str = ""

    @property
    def scopes(self) -> tuple[str, str]:
        """Keys of the scopes that its calls count in."""
        return f"TENANT#{self.tenant_id}", f"LOB#{self.lob_id}"

    @cached_property
    def openai(self) -> OpenAI:
        """The official SDK; nothing is changed but ``base_url`` and the token. Retries would hide what is tested."""
        return OpenAI(base_url=self.stack.base_url, api_key=self.token, max_retries=0, timeout=TIMEOUT_S)

    def async_openai(
        self, connections: int, retries: int, on_answer: Callable[[httpx2.Response], Awaitable[None]]
    ) -> AsyncOpenAI:
        """The same for many calls at once, with the SDK's own retries; ``on_answer`` sees every single answer."""
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=0)
        return AsyncOpenAI(
            base_url=self.stack.base_url,
            api_key=self.token,
            max_retries=retries,
            timeout=TIMEOUT_S,
            http_client=httpx2.AsyncClient(
                limits=limits, timeout=TIMEOUT_S, trust_env=False, event_hooks={"response": [on_answer]}
            ),
        )

    def send(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """A raw request; ``path`` goes after ``base_url``."""
        headers = {"authorization": f"Bearer {self.token}", **request.pop("headers", {})}
        return self.stack.http.request(method, self.stack.base_url + path, headers=headers, **request)

    def post_chat(self, body: Any, **request: Any) -> httpx2.Response:
        """A raw chat completion: ``body`` as JSON, or as it is if it is bytes."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json", **request.pop("headers", {})}
        return self.send("POST", "/chat/completions", content=content, headers=headers, **request)
