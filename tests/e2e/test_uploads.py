"""A picture that is too large for a request: refused with what to do, uploaded, and named in each dialect's own way."""

from __future__ import annotations

import base64
import secrets
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import anthropic
import botocore.exceptions
import openai
import pytest

import sdks
from front import Front
from simulator import Simulator, script
from stack import Caller

#: More than Lambda takes, and less than a provider does.
SIDE = 1500


def png() -> bytes:
    """A picture of noise, which nothing makes smaller."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + secrets.token_bytes(SIDE * 3) for _ in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    pieces = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + pieces


@dataclass(frozen=True)
class Picture:
    """A picture that was uploaded."""

    data: bytes
    file: dict[str, Any]


@pytest.fixture(scope="module")
def picture(acme: Caller) -> Picture:
    """Uploaded as the gateway's answer says."""
    data = png()
    assert len(data) > 6 * 1024 * 1024
    answer = acme.send("POST", "/files", json={"media_type": "image/png", "bytes": len(data), "filename": "noise.png"})
    assert answer.status_code == 200, answer.text
    file = answer.json()
    upload = file["upload"]
    put = acme.stack.http.request(upload["method"], upload["url"], headers=upload["headers"], content=data)
    assert put.status_code == 200, put.text
    assert acme.send("GET", f"/files/{file['id']}").json()["bytes"] == len(data)
    return Picture(data, file)


def check_sent(simulator: Simulator, before: int, picture: Picture) -> None:
    """The model was given the picture, or where it is."""
    (call,) = simulator.calls(before, "acme")
    assert (call["status"], call["outcome"]) == (200, "completed")
    body = call["request_body"]
    if call["request_body_truncated"]:
        assert base64.b64encode(picture.data[:300]).decode() in body
    else:
        assert picture.file["s3_uri"] in str(body)


QUESTION = script("What is it?", text="Noise.")


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "nova-pro"])
def test_openai_is_told_to_upload_and_then_names_the_file(
    acme: Caller, simulator: Simulator, picture: Picture, model: str
) -> None:
    def ask(url: str) -> str | None:
        content: Any = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": url}}]
        answer = acme.openai.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
        return answer.choices[0].message.content

    with pytest.raises(openai.APIStatusError, match="POST /v1/files") as raised:
        ask("data:image/png;base64," + base64.b64encode(picture.data).decode())
    assert raised.value.status_code == 413
    before = simulator.last_seq()
    assert ask(f"weir://uploads/{picture.file['id']}") == "Noise."
    check_sent(simulator, before, picture)


def test_responses_name_the_file(acme: Caller, simulator: Simulator, picture: Picture) -> None:
    before = simulator.last_seq()
    parts: Any = [
        {"type": "input_text", "text": QUESTION},
        {"type": "input_image", "file_id": picture.file["id"], "detail": "auto"},
    ]
    answer = acme.openai.responses.create(model="claude-sonnet-4-5", input=[{"role": "user", "content": parts}])
    assert answer.output_text == "Noise."
    check_sent(simulator, before, picture)


def test_anthropic_is_told_to_upload_and_then_names_the_file(
    acme: Caller, simulator: Simulator, picture: Picture
) -> None:
    def ask(source: Any) -> str:
        content: Any = [{"type": "text", "text": QUESTION}, {"type": "image", "source": source}]
        answer = sdks.anthropic(acme).messages.create(
            model="claude-haiku-4-5", max_tokens=100, messages=[{"role": "user", "content": content}]
        )
        return answer.content[0].text

    with pytest.raises(anthropic.RequestTooLargeError, match="POST /v1/files"):
        data = base64.b64encode(picture.data).decode()
        ask({"type": "base64", "media_type": "image/png", "data": data})
    before = simulator.last_seq()
    assert ask({"type": "file", "file_id": picture.file["id"]}) == "Noise."
    check_sent(simulator, before, picture)


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "nova-pro"])
def test_boto3_is_told_to_upload_and_then_names_where_it_is(
    acme: Caller, tls: Front, simulator: Simulator, picture: Picture, model: str
) -> None:
    def ask(source: dict[str, Any]) -> str:
        content = [{"text": QUESTION}, {"image": {"format": "png", "source": source}}]
        with sdks.bedrock(acme, tls) as client:
            answer = client.converse(modelId=model, messages=[{"role": "user", "content": content}])
        return answer["output"]["message"]["content"][0]["text"]

    with pytest.raises(botocore.exceptions.ClientError, match="POST /v1/files") as raised:
        ask({"bytes": picture.data})
    assert raised.value.response["Error"]["Code"] == "ValidationException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    before = simulator.last_seq()
    assert ask({"s3Location": {"uri": picture.file["s3_uri"]}}) == "Noise."
    check_sent(simulator, before, picture)


def test_another_tenant_cannot_name_the_file(globex: Caller, tls: Front, picture: Picture) -> None:
    assert globex.send("GET", f"/files/{picture.file['id']}").status_code == 404
    content: Any = [{"type": "image_url", "image_url": {"url": f"weir://uploads/{picture.file['id']}"}}]
    with pytest.raises(openai.NotFoundError):
        globex.openai.chat.completions.create(model="nova-pro", messages=[{"role": "user", "content": content}])
    source = {"s3Location": {"uri": picture.file["s3_uri"]}}
    with sdks.bedrock(globex, tls) as client, pytest.raises(client.exceptions.ValidationException):
        client.converse(
            modelId="nova-pro",
            messages=[{"role": "user", "content": [{"image": {"format": "png", "source": source}}]}],
        )


def test_a_file_that_was_never_put_is_no_file(acme: Caller) -> None:
    file = acme.send("POST", "/files", json={"media_type": "image/png", "bytes": 3}).json()
    content: Any = [{"type": "image_url", "image_url": {"url": f"weir://uploads/{file['id']}"}}]
    with pytest.raises(openai.BadRequestError):
        acme.openai.chat.completions.create(model="nova-pro", messages=[{"role": "user", "content": content}])
