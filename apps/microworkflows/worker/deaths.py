"""Deaths that this worker has seen: of processes of its pool that handled one message, and nothing else.

The broker counts every delivery that came to nothing, also one that only waited in a worker that was killed or cut off. That
says little about the message. Here, it was the message's own process that died.
"""

_PROOF = 3
"""Number of deaths that are no accident: a process may also be killed for its neighbours' hunger for memory."""
_MOST = 10_000
_seen: dict[str, int] = {}
"""Number of deaths by the id of the message, the oldest first."""


def note(message_id: str) -> None:
    """Note that a process died while it handled this message alone."""
    _seen[message_id] = _seen.pop(message_id, 0) + 1
    if len(_seen) > _MOST:
        del _seen[next(iter(_seen))]


def is_deadly(message_id: str) -> bool:
    """Return True if the message has killed often enough to be parked, once it has come back often enough."""
    return seen(message_id) >= _PROOF


def seen(message_id: str) -> int:
    """Return the number of deaths at this message since the worker started."""
    return _seen.get(message_id, 0)
