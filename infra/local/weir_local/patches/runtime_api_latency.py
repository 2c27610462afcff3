"""Invoking a warm function takes no needless 50 ms.

MiniStack's Lambda Runtime API writes headers and body separately on a socket with Nagle's algorithm on (a 40 ms stall against
delayed acknowledgements), and after each invocation waits up to 50 ms for a first log line. AWS does neither.
"""

import fcntl
import os
import queue
import select
import struct
import termios
import threading
import time

from ministack.core import lambda_runtime

from weir_local.patching import wrap

#: Seconds between two looks at the function's output, and the longest wait for it to be read.
_POLL = 0.001
_LIMIT = 0.25


def _put(lines: queue.Queue, line: bytes) -> None:
    """Add a line, dropping the oldest when the queue is full."""
    while True:
        try:
            lines.put_nowait(line.decode("utf-8", "replace").rstrip("\r"))
            return
        except queue.Full:
            lines.get_nowait()


def _pump(worker, stream, lines: queue.Queue) -> None:
    """Move the output of a process into a queue until it ends. What was read is in the queue when the lock is free."""
    rest = b""
    try:
        poller = select.poll()
        poller.register(stream.fileno(), select.POLLIN)
        while True:
            poller.poll()
            with worker.output_lock:
                data = os.read(stream.fileno(), 65536)
                if not data:
                    break
                *complete, rest = (rest + data).split(b"\n")
                for line in complete:
                    _put(lines, line)
    except (OSError, ValueError):
        pass  # closed meanwhile
    finally:
        if rest:
            _put(lines, rest)
        stream.close()


def _unread(worker) -> bool:
    """Whether the function wrote output that is not in the queue yet."""
    process = worker._proc
    if process is None:
        return False
    with worker.output_lock:
        try:
            stream = process.stderr or process.stdout
            return struct.unpack("i", fcntl.ioctl(stream.fileno(), termios.FIONREAD, b"\0" * 4))[0] > 0
        except (OSError, ValueError):
            return False  # closed: the process ended


def _drain(worker, *_args, **_kwargs) -> str:
    """The log lines of an invocation: whatever the function wrote before it answered is in the pipe or in the queue by now."""
    deadline = time.monotonic() + _LIMIT
    while _unread(worker) and time.monotonic() < deadline:
        time.sleep(_POLL)
    lines: list[str] = []
    try:
        while True:
            lines.append(worker._stderr_queue.get_nowait())
    except queue.Empty:
        return "\n".join(lines)


def apply() -> None:
    """Turn Nagle's algorithm off, and wait for log lines only while there are any to read."""

    @wrap(lambda_runtime.Worker, "__init__")
    def init(original, self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.output_lock = threading.Lock()

    lambda_runtime.Worker._drain_stderr_bounded = _drain
    lambda_runtime.Worker._read_stderr = lambda self: _pump(self, self._proc.stderr, self._stderr_queue)
    lambda_runtime.ProvidedWorker._pump_output = _pump

    @wrap(lambda_runtime.ProvidedWorker, "_build_handler_class")
    def build(original, self, generation, pending):
        return type("RuntimeApiHandler", (original(self, generation, pending),), {"disable_nagle_algorithm": True})
