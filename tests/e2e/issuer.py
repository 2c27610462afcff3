"""An OIDC issuer of the tests' own, which can also sign what an honest one never would."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: DER of a SHA-256 DigestInfo up to the digest (RFC 8017, 9.2).
_SHA256_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
_EXPONENT = 65537
_KEY_BYTES = 256


def b64url(data: bytes) -> str:
    """Base64 as JWTs have it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Header, claims and signature of a token, unverified."""
    header, claims, signature = token.split(".")
    decode = lambda part: json.loads(base64.urlsafe_b64decode(part + "=="))  # noqa: E731
    return decode(header), decode(claims), signature


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """The part of a token that is signed."""
    return ".".join(b64url(json.dumps(part).encode()) for part in (header, claims))


def _prime(bits: int) -> int:
    while True:
        candidate = secrets.randbits(bits) | (3 << (bits - 2)) | 1
        if (candidate - 1) % _EXPONENT and all(pow(base, candidate - 1, candidate) == 1 for base in (2, 3, 5, 7)):
            return candidate


class Issuer:
    """A key pair, and where its public half is served."""

    def __init__(self, name: str, jwks_url: str) -> None:
        self.name = name
        self.jwks_url = jwks_url
        p, q = _prime(_KEY_BYTES * 4), _prime(_KEY_BYTES * 4)
        self._modulus = p * q
        self._private = pow(_EXPONENT, -1, (p - 1) * (q - 1))
        self.key_id = secrets.token_hex(8)

    @property
    def jwks(self) -> dict[str, Any]:
        """The public key, as issuers publish it."""
        modulus = b64url(self._modulus.to_bytes(_KEY_BYTES, "big"))
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id, "n": modulus, "e": "AQAB"}
        return {"keys": [key]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims that are in order, but for the ``changes``."""
        now = int(time.time())
        return {"iss": self.name, "sub": "someone", "aud": "weir", "iat": now, "exp": now + 600, **changes}

    def header(self, **changes: Any) -> dict[str, Any]:
        """A header that is in order, but for the ``changes``."""
        return {"alg": "RS256", "typ": "JWT", "kid": self.key_id, **changes}

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token, signed with RS256 whatever its header says."""
        signed_part = unsigned(self.header(**(header or {})), self.claims(**claims))
        digest = _SHA256_DIGEST_INFO + hashlib.sha256(signed_part.encode()).digest()
        padded = b"\x00\x01" + b"\xff" * (_KEY_BYTES - len(digest) - 3) + b"\x00" + digest
        signature = pow(int.from_bytes(padded, "big"), self._private, self._modulus).to_bytes(_KEY_BYTES, "big")
        return f"{signed_part}.{b64url(signature)}"

    def token_signed_with_the_public_key(self) -> str:
        """The classic confusion: HS256 with what everybody knows as the secret."""
        signed_part = unsigned(self.header(alg="HS256"), self.claims())
        secret = json.dumps(self.jwks).encode()
        return f"{signed_part}.{b64url(hmac.digest(secret, signed_part.encode(), 'sha256'))}"

    def token_without_signature(self) -> str:
        """``alg: none``."""
        return unsigned(self.header(alg="none"), self.claims()) + "."


@contextmanager
def serve() -> Iterator[Issuer]:
    """An issuer whose keys can be fetched while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(issuer.jwks).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keeps quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        name = f"https://issuer-{secrets.token_hex(4)}.example"
        issuer = Issuer(name, f"http://127.0.0.1:{server.server_address[1]}/jwks.json")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
