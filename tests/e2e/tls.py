"""TLS in front of the local gateway: boto3 sends a bearer token to no other endpoint."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Front:
    """A port that speaks TLS."""

    port: int
    #: What a client must trust.
    certificate: Path

    def url(self, plain: str) -> str:
        """The URL of the same resource through this port."""
        return urlunsplit(urlsplit(plain)._replace(scheme="https", netloc=f"{HOST}:{self.port}"))


@contextmanager
def front(plain: str, folder: Path) -> Iterator[Front]:
    """Passes every connection on to the host and port of the URL ``plain``; keeps its certificate in ``folder``."""
    target = urlsplit(plain)
    certificate, key = _certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection((target.hostname, target.port)) as gateway,
            ):
                answers = threading.Thread(target=_copy, args=(gateway, client), daemon=True)
                answers.start()
                _copy(client, gateway)
                answers.join()

    with socketserver.ThreadingTCPServer((HOST, 0), Connection) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Front(server.server_address[1], certificate)
        finally:
            server.shutdown()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Copies until either side ends, and ends the other."""
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Weir tests")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files
