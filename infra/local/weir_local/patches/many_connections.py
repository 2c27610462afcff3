"""Many clients at once are served, and nobody waits for the garbage of others.

MiniStack listens with a backlog of 100, so of a thousand clients that connect at once some are reset. And Python's collector stops
it for seconds when there are gigabytes to look through: the streams of tables keep each version of each item for a day. AWS does
neither.
"""

import gc

from hypercorn.config import Config

_BACKLOG = 4096
#: New objects between two collections of the youngest; of those between two of the next older; and of the oldest ones hardly
#: ever: what lives that long here is data.
_THRESHOLDS = (50_000, 20, 10_000)


def apply() -> None:
    """Set both for this process."""
    Config.backlog = _BACKLOG
    gc.set_threshold(*_THRESHOLDS)
