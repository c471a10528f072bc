"""Django signals of what somebody should look at; sent once it is stored, by the process that noticed it.

A receiver that raises is logged by Django and changes nothing. Receivers run in the middle of the work, some in a worker's event
loop or in the relay, so they must be quick. A crash at the wrong moment costs a signal: the tables have the last word.
"""

from django.dispatch import Signal

__all__ = ["dead_lettered", "failed", "parked", "rejected", "unheard"]

failed = Signal()
"""A microworkflow failed, and its message waits for another attempt. The sender is the class ``InboxEvent``, the arguments are
``message`` (its row) and ``exception``."""

parked = Signal()
"""A message failed for good, and waits for somebody who replays it. As :data:`failed`, but ``exception`` is None if the relay
parked it."""

unheard = Signal()
"""The broker had no queue for these events. The sender is the class ``OutboxEvent``, the arguments are ``context`` (label of the
context that announced them) and ``event_ids``."""

rejected = Signal()
"""The broker refuses these events for good. As :data:`unheard`."""

dead_lettered = Signal()
"""A message became a dead letter. The sender is the class ``DeadLetter``, the arguments are ``queue`` and ``error`` (the reason)."""
