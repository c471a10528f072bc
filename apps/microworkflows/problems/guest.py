"""The problems as a guest of the core: replays and adoptions go on beside the relay; what is old is purged."""

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from microworkflows import flows, purging
from microworkflows.problems import adopting, replays
from microworkflows.problems.models import Problem, Replay

_SECONDS = 1.0
_ADOPTS_EVERY_SECONDS = 60.0
"""Time after which it is looked anew for messages that a process of an earlier version has kept meanwhile."""


class Problems(flows.Guest):
    """Takes the next messages of each replay every second, in one of the processes that relay their context."""

    def beside_relay(self, contexts: Sequence[str], stop: threading.Event) -> None:
        """Go on with the replays of these contexts, and adopt what an earlier version kept, until told to stop."""
        adopts_at = 0.0
        while not stop.wait(_SECONDS):
            replays.advance(contexts)
            if time.monotonic() >= adopts_at and adopting.adopt() < adopting.AT_ONCE:
                adopts_at = time.monotonic() + _ADOPTS_EVERY_SECONDS

    def purge(self, *, before: datetime) -> Mapping[str, int]:
        """Delete replays that have ended, and what was noted of problems that nobody has touched since."""
        ended = Replay.objects.filter(ended_at__lt=before)
        return {
            "messages of replays": replays.purge(ended),
            "notes on problems": purging.delete_in_batches(
                Problem.objects.filter(assigned_at__lt=before), by="assigned_at"
            ),
        }

    def retentions(self, *, default: timedelta) -> Mapping[str, timedelta]:
        """Return the default, by which both go."""
        return dict.fromkeys(("messages of replays", "notes on problems"), default)
