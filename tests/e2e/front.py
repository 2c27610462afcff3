"""A port in front of the local gateway that notes every answer, with TLS or without.

With TLS because boto3 sends a bearer token to no other endpoint; the notes because a client may hide from its user
that the gateway refused a request.
"""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST = "127.0.0.1"
#: Headers about one connection, not about the request or the answer.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True)
class Answer:
    """What the gateway said to a request."""

    method: str
    path: str
    status: int


@dataclass(frozen=True)
class Front:
    """A port that passes requests on to the gateway."""

    scheme: str
    port: int
    #: The certificate that a client must trust.
    authority: Path
    #: What the gateway answered since the list was last cleared.
    answers: list[Answer] = field(default_factory=list)

    def url(self, plain: str) -> str:
        """The URL of the same resource through this port."""
        return urlunsplit(urlsplit(plain)._replace(scheme=self.scheme, netloc=f"{HOST}:{self.port}"))


@contextmanager
def front(plain: str, folder: Path, *, tls: bool) -> Iterator[Front]:
    """Passes requests on to the host and port of the URL ``plain``; keeps its certificates in ``folder``."""
    target = urlsplit(plain)
    authority, certificate, key = _certificates(folder)

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            gateway = http.client.HTTPConnection(target.hostname, target.port)
            gateway.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    gateway.putheader(name, value)
            gateway.endheaders(body)
            answer = gateway.getresponse()
            running.answers.append(Answer(self.command, self.path, answer.status))
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            is_chunked = answer.getheader("content-length") is None and self.command != "HEAD" and answer.status != 204
            if is_chunked:
                self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            while piece := answer.read1(65536):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
            if is_chunked:
                self.wfile.write(b"0\r\n\r\n")
            gateway.close()

        do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = pass_on

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that hangs up is no matter; what breaks an answer shows in the test."""

    with Server((HOST, 0), Request) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            # The handshake happens in the connection's own thread.
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        running = Front("https" if tls else "http", server.server_address[1], authority)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield running
        finally:
            server.shutdown()


def _certificates(folder: Path) -> tuple[Path, Path, Path]:
    """A new authority's certificate, and a certificate of this host by it with its key."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Weir tests")])
    host_key = ec.generate_private_key(ec.SECP256R1())
    host = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    is_authority = x509.BasicConstraints(ca=True, path_length=None)
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    by_itself = certificate(authority, authority_key).add_extension(is_authority, critical=True)
    of_host = certificate(host, host_key).add_extension(here, critical=False).add_extension(server, critical=False)
    files = folder / "authority.pem", folder / "certificate.pem", folder / "key.pem"
    for file, builder in zip(files, (by_itself, of_host)):
        file.write_bytes(builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    files[2].write_bytes(
        host_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files
