"""``cargo lambda watch`` as a process, and events for it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environment import ROOT

#: The first call of a function waits for cargo to compile it.
BUILD_TIMEOUT_S = 300
STOP_TIMEOUT_S = 15


@dataclass(frozen=True)
class Answer:
    """What came back, in pieces: seconds since the request, and bytes."""

    status: int
    headers: dict[str, str]
    pieces: list[tuple[float, bytes]]

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(piece for _, piece in self.pieces)


class Watch:
    """A running ``cargo lambda watch``."""

    def __init__(self, env_file: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.log = log
        # xtask installs it beside the Python that runs these tests.
        tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        assert shutil.which("cargo-lambda", path=tools), "cargo-lambda is not installed; `cargo xtask up` does it"
        command = ["cargo", "lambda", "watch", "--ignore-changes", "-A", "127.0.0.1", "-P", str(self.port)]
        # Nothing that surrounds the tests may reach the functions.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--env-file", str(env_file)],
                cwd=ROOT,
                env=inherited | {"PATH": tools},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_listening(self) -> None:
        """Returns once it takes requests."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError(self.log.read_text(errors="replace"))

    def invoke(self, function: str, event: dict[str, Any], operation: str = "invocations") -> Answer:
        """Hands an event to a function, as API Gateway does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=BUILD_TIMEOUT_S)
        try:
            asked = time.monotonic()
            connection.request("POST", f"/2015-03-31/functions/{function}/{operation}", json.dumps(event))
            response = connection.getresponse()
            pieces = [(time.monotonic() - asked, piece) for piece in iter(lambda: response.read1(65536), b"")]
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, pieces)
        finally:
            connection.close()

    def stop(self) -> None:
        """Ends it as Ctrl-C does, and makes sure that everything that it started has ended, too."""
        started = self.processes()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_TIMEOUT_S)
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while left := started.items() & _running().items():
                assert time.monotonic() < deadline, f"still running: {left}"
                time.sleep(0.05)
        finally:
            for pid in dict(started.items() & _running().items()):
                os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """Ends whatever is left, without a warning."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(STOP_TIMEOUT_S)

    def processes(self) -> dict[int, Process]:
        """All processes below it. The functions are in sessions of their own."""
        running = _running()
        found: dict[int, Process] = {}
        parents = {self.process.pid}
        while parents:
            found |= (children := {pid: process for pid, process in running.items() if process.parent in parents})
            parents = set(children)
        return found


@dataclass(frozen=True)
class Process:
    """A running process."""

    started: str
    command: str
    parent: int = field(compare=False)


def _running() -> dict[int, Process]:
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,lstart=,args="], capture_output=True, text=True, check=True
    )
    running = {}
    for line in listed.stdout.splitlines():
        pid, parent, state, *started, command = line.split(None, 8)
        if not state.startswith("Z"):
            running[int(pid)] = Process(" ".join(started), command, int(parent))
    return running


def recorded(path: str, **replacements: str) -> dict[str, Any]:
    """A recorded event of a function, with its ``{placeholders}`` replaced."""
    text = (ROOT / "functions" / path).read_text(encoding="utf-8")
    for name, value in replacements.items():
        text = text.replace(f"{{{name}}}", value)
    return json.loads(text)


def api_event(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What API Gateway hands to ``invoke`` for a developer of ``acme``: the recorded call, made another one."""
    event = recorded("invoke/testdata/chat.json")
    event |= {"httpMethod": method, "resource": path, "path": path, "body": json.dumps(body) if body else None}
    event["requestContext"] |= {"httpMethod": method, "resourcePath": path, "path": f"/live{path}"}
    return event
