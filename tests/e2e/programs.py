"""Running a client in a process of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from stack import ROOT, TIMEOUT_S

PYTHON_CLIENTS = ROOT / "tests" / "e2e" / "clients"
NODE_CLIENTS = ROOT / "tests" / "e2e" / "node"
NODE_MODULES = NODE_CLIENTS / "node_modules"


def run(command: list[str], folder: Path, **environment: str) -> str:
    """Runs a program that knows nothing of this machine but its home, and returns what it printed."""
    finished = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def rust_client(name: str) -> Path:
    """An example of a crate, which ``cargo xtask test`` has built (by hand: ``cargo build --examples``)."""
    if folder := os.environ.get("WEIR_EXAMPLES"):
        return Path(folder) / name
    built = [path for pattern in ("debug", "*/debug") for path in (ROOT / "target").glob(f"{pattern}/examples/{name}")]
    assert built, f"{name} is not built: run `cargo build --package inference-bedrock --examples`"
    return max(built, key=lambda path: path.stat().st_mtime)
