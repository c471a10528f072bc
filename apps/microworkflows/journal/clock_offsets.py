"""Clocks of the hosts that send notices, against the collector's: what a message that did not wait took at least is their difference.

All processes of a host share its clock, and so one estimate. It falls at once to the smallest difference, which held the shortest way,
and rises slowly, so that a clock that was set is followed within minutes.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from microworkflows.journal.reading import Sent

_IN_STEP = timedelta(seconds=0.5)
"""Difference up to which clocks count as in step: it may as well be the way of the message."""
_RISE = 0.02


class ClockOffsets:
    """Offsets of hosts: what is to be added to their times."""

    def __init__(self) -> None:
        self._raw: dict[str, timedelta] = {}

    def learn(self, message: Sent) -> None:
        """Learn from the way of a message."""
        if not message.is_fresh:
            return
        took = message.arrived_at - message.sent_at
        known = self._raw.get(message.host)
        if known is None or took < known:
            self._raw[message.host] = took
        else:
            self._raw[message.host] = known + (took - known) * _RISE

    def recall(self, hosts: Iterable[tuple[str, timedelta | None]]) -> None:
        """Take offsets from before this collector began, of hosts that are not known yet."""
        for host, offset in hosts:
            if offset is not None:
                self._raw.setdefault(host, offset)

    def of(self, host: str) -> timedelta | None:
        """Return the offset of a host; None if it is unknown."""
        raw = self._raw.get(host)
        if raw is None:
            return None
        return timedelta() if abs(raw) <= _IN_STEP else raw

    def corrected(self, host: str, time: datetime) -> datetime:
        """Return a time of a host's clock on the collector's."""
        offset = self.of(host)
        return time + offset if offset else time
