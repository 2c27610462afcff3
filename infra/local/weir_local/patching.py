"""How the patches replace functions of MiniStack."""

import functools
from collections.abc import Callable
from typing import Any


def wrap(owner: Any, name: str) -> Callable[[Callable], Callable]:
    """Replace ``owner.name`` by the decorated function, which gets the original as its first argument.

    Raises ``AttributeError`` at start-up when MiniStack no longer has such a function.
    """
    original = getattr(owner, name)

    def decorate(replacement: Callable) -> Callable:
        @functools.wraps(original)
        def wrapper(*args, **kwargs):
            return replacement(original, *args, **kwargs)

        setattr(owner, name, wrapper)
        return wrapper

    return decorate
