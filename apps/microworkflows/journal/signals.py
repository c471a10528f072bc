"""Django signals of the watcher, sent once the alarm's row is stored, by the process that watched.

A receiver that raises is logged by Django and changes nothing. It runs in the watcher's round, so it must be quick. A crash at the
wrong moment costs a signal: the rows of :class:`~microworkflows.journal.models.Alarm` have the last word.
"""

from django.dispatch import Signal

__all__ = ["overdue", "overdue_ended"]

overdue = Signal()
"""An event did not come in time. The sender is the class ``Alarm``, the argument is ``alarm`` (its row, with its flow)."""

overdue_ended = Signal()
"""The event came late, or its flow ended without it. As :data:`overdue`; ``alarm.closed_at`` is set."""
