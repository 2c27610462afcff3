"""``/_weir/chaos``: makes things go wrong, for a test.

Not a correction: on AWS all of it happens by itself, rarely. ``PUT`` takes ``weir_local.chaos.Settings`` as JSON, replacing those
in force (``{}`` ends everything), ``GET`` answers ``{"settings", "counts"}``: what was done since.
"""

import json

from ministack import app

from weir_local.chaos import CHAOS, Settings
from weir_local.patching import wrap

PATH = "/_weir/chaos"
_JSON = {"Content-Type": "application/json"}


def apply() -> None:
    """Serve the path ahead of MiniStack's own routing."""

    @wrap(app, "_handle_post_body_shortcuts")
    async def shortcuts(original, method, path, headers, body, *rest):
        if path != PATH or method not in ("GET", "PUT"):
            return await original(method, path, headers, body, *rest)
        if method == "PUT":
            try:
                CHAOS.set(Settings.of(json.loads(body)))
            except (ValueError, TypeError) as error:
                return 400, dict(_JSON), json.dumps({"message": f"{type(error).__name__}: {error}"}).encode()
        return 200, dict(_JSON), json.dumps(CHAOS.describe()).encode()
