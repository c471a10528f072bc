"""The numbers of each process's notices: what has come before is passed over, and what is missing becomes a gap until it comes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from microworkflows.journal.clock_offsets import ClockOffsets
from microworkflows.journal.models import Gap, Process
from microworkflows.journal.reading import Sent

SILENT_AFTER = timedelta(seconds=30)
"""Time without a notice after which a process that did not say that it ends counts as dead."""

_FIELDS = [
    "service",
    "kind",
    "name",
    "contexts",
    "seen_at",
    "stopped_at",
    "clock_offset",
    "next_number",
    "life",
]


class Numbering:
    """The processes that some messages are from, with their open gaps."""

    def __init__(self, messages: Sequence[Sent], offsets: ClockOffsets) -> None:
        ids = {message.id for message in messages}
        self._offsets = offsets
        self._processes: dict[UUID, Process] = Process.objects.in_bulk(list(ids))
        self._gaps: dict[UUID, list[Gap]] = defaultdict(list)
        for gap in Gap.objects.filter(process__in=ids, filled_at__isnull=True).order_by("first"):
            self._gaps[gap.process_id].append(gap)
        self._changed_gaps: list[Gap] = []
        self._closed_gaps: list[Gap] = []
        offsets.recall((each.host, each.clock_offset) for each in self._processes.values())

    @property
    def has_changed_gaps(self) -> bool:
        """True if a gap was found, or closed."""
        return bool(self._changed_gaps or self._closed_gaps)

    def take(self, message: Sent) -> tuple[Process, list[Any]]:
        """Take in a message; return its process, and those of its notices that have not come before."""
        self._offsets.learn(message)
        process = self._processes.get(message.id) or self._begin(message)
        sent_at = self._offsets.corrected(message.host, message.sent_at)
        told_at = datetime.fromtimestamp(
            process.life.get("sent_at", message.began_at.timestamp()), sent_at.tzinfo
        )
        wanted = [
            notice
            for number, notice in enumerate(message.notices, start=message.first)
            if number >= process.next_number or self._is_missing(process.id, number)
        ]
        self._close_gaps(process, message)
        if message.first > process.next_number:
            missing = message.first - process.next_number
            self._add(process, first=process.next_number, number=missing, since=told_at, until=sent_at)
        process.next_number = max(process.next_number, message.end)
        process.seen_at = max(process.seen_at, message.arrived_at)
        process.service, process.kind, process.name = message.service, message.kind, message.name
        process.contexts = message.contexts
        process.clock_offset = self._offsets.of(message.host)
        process.life = {**process.life, "sent_at": max(told_at, sent_at).timestamp()}
        return process, wanted

    def save(self) -> None:
        """Save processes and gaps."""
        Process.objects.bulk_create(
            self._processes.values(), update_conflicts=True, unique_fields=["id"], update_fields=_FIELDS
        )
        for gap in self._closed_gaps:
            if gap.pk:
                gap.delete()
        for gap in self._changed_gaps:
            if gap not in self._closed_gaps:
                gap.save()

    def _begin(self, message: Sent) -> Process:
        process = self._processes[message.id] = Process(
            id=message.id,
            host=message.host,
            pid=message.pid,
            began_at=self._offsets.corrected(message.host, message.began_at),
            seen_at=message.arrived_at,
            next_number=0,
            life={},
        )
        return process

    def _is_missing(self, process: UUID, number: int) -> bool:
        return any(
            gap.number is not None and gap.first <= number < gap.first + gap.number
            for gap in self._gaps[process]
        )

    def _close_gaps(self, process: Process, message: Sent) -> None:
        """Take out of the gaps what has come. A process that was taken for dead, and goes on, has lost what its numbers say."""
        for gap in list(self._gaps[process.id]):
            if gap.number is None:
                self._close(gap)
                continue
            end = gap.first + gap.number
            if message.end <= gap.first or message.first >= end:
                continue
            self._close(gap)
            for first, last in ((gap.first, message.first), (message.end, end)):
                if first < last:
                    self._add(process, first=first, number=last - first, since=gap.since, until=gap.until)

    def _close(self, gap: Gap) -> None:
        self._gaps[gap.process_id].remove(gap)
        self._closed_gaps.append(gap)

    def _add(self, process: Process, *, first: int, number: int, since: datetime, until: datetime) -> None:
        gap = Gap(process=process, first=first, number=number, since=min(since, until), until=until)
        self._gaps[process.id].append(gap)
        self._changed_gaps.append(gap)


def find_the_dead(now: datetime) -> list[Gap]:
    """Note a gap for each process that fell silent without a word; return the new ones.

    Call it only while nothing waits in the queue. What a process did in its last second, nobody knows.
    """
    silent = Process.objects.filter(stopped_at__isnull=True, seen_at__lt=now - SILENT_AFTER)
    silent = silent.exclude(gaps__number__isnull=True, gaps__isnull=False)
    gaps = [
        Gap(process=each, first=each.next_number, number=None, since=_last_told(each), until=now)
        for each in silent
    ]
    return Gap.objects.bulk_create(gaps)


def open_gaps() -> Iterable[Gap]:
    """Return the gaps that are not filled, with their processes."""
    return Gap.objects.filter(filled_at__isnull=True).select_related("process")


def _last_told(process: Process) -> datetime:
    sent_at = process.life.get("sent_at")
    return process.seen_at if sent_at is None else datetime.fromtimestamp(sent_at, process.seen_at.tzinfo)
