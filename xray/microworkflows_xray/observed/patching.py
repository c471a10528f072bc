"""Functions put around others while something is recorded."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def patched(owner: Any, name: str, around: Callable[..., Any]) -> Iterator[None]:
    """Have ``around(original, *args, **kwargs)`` called in place of a class's or module's function, until the block ends."""
    own = name in vars(owner)
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        return around(original, *args, **kwargs)

    setattr(owner, name, call)
    try:
        yield
    finally:
        # Somebody may have put another one around ours meanwhile, and will take it out by itself.
        if vars(owner).get(name) is call:
            if own:
                setattr(owner, name, original)
            else:
                delattr(owner, name)
