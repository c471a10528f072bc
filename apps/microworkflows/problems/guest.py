"""The problems as a guest of the core: replays go on beside the relay, and are purged once they are old."""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime

from microworkflows import flows, purging
from microworkflows.problems import replays
from microworkflows.problems.models import Problem, Replay

_SECONDS = 1.0


class Problems(flows.Guest):
    """Takes the next messages of each replay every second, in one of the processes that relay their context."""

    def beside_relay(self, contexts: Sequence[str], stop: threading.Event) -> None:
        """Go on with the replays of these contexts until told to stop."""
        while not stop.wait(_SECONDS):
            replays.advance(contexts)

    def purge(self, *, before: datetime) -> Mapping[str, int]:
        """Delete replays that have ended, and what was noted of problems that nobody has touched since."""
        ended = Replay.objects.filter(ended_at__lt=before)
        return {
            "messages of replays": replays.purge(ended),
            "notes on problems": purging.delete_in_batches(
                Problem.objects.filter(assigned_at__lt=before), by="assigned_at"
            ),
        }
