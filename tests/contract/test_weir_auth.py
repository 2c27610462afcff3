"""The helper that makes tokens of AWS roles makes what the authorizer reads: the authorizer's tests let this very token in."""

import asyncio
import base64
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import botocore.auth
import botocore.session
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "clients/python"))
import weir_auth  # noqa: E402

#: What the authorizer's tests know, in functions/authorizer/src/tests/sts.rs.
NOW = 1_800_000_000
SERVER_ID = "weir.eu-west-1.111122223333"
TOKEN = ROOT / "functions/authorizer/testdata/aws_token.txt"


@pytest.fixture
def session() -> Any:
    """A session with known credentials."""
    session = botocore.session.Session()
    session.set_credentials("ASIAACMEACMEACMEACME", "acme/secret+key", "acme/session+token==")
    return session


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A clock that stands still, for the helper and for botocore."""
    clock = SimpleNamespace(now=float(NOW))
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: datetime.fromtimestamp(clock.now, UTC).replace(tzinfo=None))
    monkeypatch.setattr(weir_auth.time, "time", lambda: clock.now)
    yield clock


def url_of(token: str) -> str:
    """What is in a token."""
    prefix, _, encoded = token.partition(".")
    assert prefix == "weir-aws-v1"
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()


def test_the_helper_makes_the_token_that_the_authorizer_lets_in(session: Any, clock: SimpleNamespace) -> None:
    assert weir_auth.token("eu-west-1", SERVER_ID, expires_in=300, session=session) == TOKEN.read_text().strip()


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "sts.us-east-1.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        ("eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_each_region_has_its_own_sts(session: Any, region: str, host: str) -> None:
    assert urlsplit(url_of(weir_auth.token(region, SERVER_ID, session=session))).netloc == host


def test_an_identity_without_session_token_signs_too(session: Any) -> None:
    session.set_credentials("AKIAEXAMPLEEXAMPLE00", "secret")
    names = [name for name, _ in parse_qsl(urlsplit(url_of(weir_auth.token("eu-west-1", SERVER_ID, session=session))).query)]
    assert "X-Amz-Security-Token" not in names
    assert len(names) == len(set(names)) == 8


def test_a_provider_renews_its_token_a_minute_before_the_end(session: Any, clock: SimpleNamespace) -> None:
    provider = weir_auth.TokenProvider("eu-west-1", SERVER_ID, expires_in=300, session=session)
    first = provider()
    clock.now += 239
    assert provider() == asyncio.run(provider.get_async()) == first
    clock.now += 1
    second = provider()
    assert second != first
    assert "X-Amz-Date=20270115T080400Z" in url_of(second)


def test_signing_a_request_replaces_other_keys(session: Any) -> None:
    provider = weir_auth.TokenProvider("eu-west-1", SERVER_ID, session=session)
    request = provider.sign(SimpleNamespace(headers={"authorization": "Bearer x", "x-api-key": "x", "accept": "*/*"}))
    assert request.headers == {"authorization": f"Bearer {provider()}", "accept": "*/*"}


@pytest.mark.parametrize("expires_in", [0, -1, 901])
def test_a_lifetime_that_sts_does_not_take_is_refused(session: Any, expires_in: int) -> None:
    with pytest.raises(ValueError, match="900"):
        weir_auth.token("eu-west-1", SERVER_ID, expires_in=expires_in, session=session)


def test_the_command_prints_a_token_or_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "WEIR_SERVER_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert weir_auth.main(["--server-id", "x", "--region", "eu-west-1"]) == 1
    assert "no AWS credentials" in capsys.readouterr().err
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAACMEACMEACMEACME")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert weir_auth.main(["--server-id", "x", "--region", "eu-west-1", "--expires-in", "60"]) == 0
    assert "X-Amz-Expires=60&" in url_of(capsys.readouterr().out.strip())
    assert weir_auth.main(["--server-id", "x", "--region", "eu-west-1", "--expires-in", "3600"]) == 1
    with pytest.raises(SystemExit):
        weir_auth.main(["--region", "eu-west-1"])
    assert "--server-id is needed" in capsys.readouterr().err
