"""Roles of the local AWS that call without a secret."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import botocore.session

from stack import ROOT, Stack

CLIENT = ROOT / "clients" / "python"
sys.path.insert(0, str(CLIENT))
import weir_auth  # noqa: E402


@dataclass(frozen=True)
class Role:
    """A role of the local AWS, and a session of it."""

    name: str
    role_id: str
    credentials: dict[str, str]

    @property
    def session(self) -> Any:
        """The session as botocore has it."""
        session = botocore.session.Session()
        keys = self.credentials
        session.set_credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        return session

    @property
    def environment(self) -> dict[str, str]:
        """The session as a program's environment has it."""
        keys = self.credentials
        return {
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": keys["SessionToken"],
        }


def token(stack: Stack, role: Role, **options: Any) -> str:
    """A token that the role's session signs."""
    return weir_auth.token(stack.region, stack.outputs["ServerId"], session=role.session, **options)
