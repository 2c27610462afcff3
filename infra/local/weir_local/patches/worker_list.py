"""``GET /_weir/workers``: the execution environments of functions and their processes.

Not a correction: on AWS an environment can die at any time, and a test that kills one has to find it. Answer:
``{"workers": [{"function_name", "pid", "busy"}]}``, optionally of one function only (``?function_name=``). ``pid`` is null while
there is no process; ``busy`` is whether an invocation is under way.
"""

import json

from ministack import app
from ministack.core import lambda_runtime

from weir_local.patching import wrap

PATH = "/_weir/workers"


def _workers(function_name: str | None) -> list[dict]:
    with lambda_runtime._lock:
        workers = [worker for pool in lambda_runtime._workers.values() for worker in pool]
    described = []
    for worker in workers:
        process = worker._proc
        alive = process is not None and process.poll() is None
        described.append(
            {"function_name": worker.func_name, "pid": process.pid if alive else None, "busy": worker.in_use}
        )
    return [worker for worker in described if function_name in (None, worker["function_name"])]


def apply() -> None:
    """Serve the path ahead of MiniStack's own routing."""

    @wrap(app, "_handle_post_body_shortcuts")
    async def shortcuts(original, method, path, headers, body, query_params, *rest):
        if (method, path) != ("GET", PATH):
            return await original(method, path, headers, body, query_params, *rest)
        workers = _workers(query_params.get("function_name", [None])[0])
        return 200, {"Content-Type": "application/json"}, json.dumps({"workers": workers}).encode()
