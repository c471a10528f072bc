"""The catalogue of the metrics: each with its name, labels and meaning; the collector and the reference are made of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds of the histogram's buckets, in seconds; another one has no bound."""


class Kind(StrEnum):
    """Types of metrics, as Prometheus calls them."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric."""

    name: str
    labels: tuple[str, ...]
    help: str
    kind: Kind = Kind.GAUGE

    @property
    def samples(self) -> frozenset[str]:
        """Names of the metric's samples, by which queries ask for them."""
        ends = ("_bucket", "_count", "_sum") if self.kind is Kind.HISTOGRAM else ("",)
        return frozenset(f"{self.name}{end}" for end in ends)


OUTBOX_EVENTS = Metric(
    name="microworkflows_outbox_events",
    labels=("context", "status"),
    help="Events in the outbox that are pending, unheard (no queue was bound to their type) or rejected by the broker; 20,000 at most.",
)
OLDEST_PENDING = Metric(
    name="microworkflows_outbox_oldest_pending_seconds",
    labels=("context",),
    help="Age of the oldest pending event, or of a timer since it was due; 0 if none waits.",
)
INBOX_MESSAGES = Metric(
    name="microworkflows_inbox_messages",
    labels=("context", "microworkflow", "status"),
    help="Messages in the inbox that wait for another attempt, or are parked until somebody replays them; 20,000 of each at most.",
)
WORKERS = Metric(
    name="microworkflows_workers",
    labels=("queue", "state"),
    help="Workers of a queue that are alive, or silent: not seen for 20 s, though nobody stopped them, and seen in the last hour.",
)
HEARTBEAT_AGE = Metric(
    name="microworkflows_heartbeat_age_seconds",
    labels=("queue",),
    help="Age of the newest heartbeat at a queue, of the workers that nobody stopped; absent if there is none.",
)
RELAY_LEADS = Metric(
    name="microworkflows_relay_leads",
    labels=("context",),
    help="1 if a relay holds the lead of the context, 0 if none does.",
)
RELAY_SILENT = Metric(
    name="microworkflows_relay_leader_silent_seconds",
    labels=("context",),
    help="Age of the leader's last sign of life; absent if none leads, or nobody can see it (SQLite, other roles).",
)
RELAYS_STANDING_BY = Metric(
    name="microworkflows_relays_standing_by",
    labels=("context",),
    help="Relays that stand by to take over the lead; absent in SQLite, which does not tell.",
)
QUEUE_MESSAGES = Metric(
    name="microworkflows_queue_messages",
    labels=("queue",),
    help="Messages that wait in a queue at the broker, without those that a worker has in hand.",
)
QUEUE_CONSUMERS = Metric(
    name="microworkflows_queue_consumers",
    labels=("queue",),
    help="Consumers of a queue, as the broker counts them.",
)
DEAD_LETTERS = Metric(
    name="microworkflows_dead_letters",
    labels=("queue",),
    help="Messages in the dead-letter queue of a queue.",
)
EVENTS_RECORDED = Metric(
    name="microworkflows_events_recorded_total",
    labels=("context", "event_type", "status"),
    kind=Kind.COUNTER,
    help="Events recorded since the first scrape, by their status about a minute later.",
)
MESSAGES_RECEIVED = Metric(
    name="microworkflows_messages_received_total",
    labels=("context", "microworkflow", "status"),
    kind=Kind.COUNTER,
    help="Messages received since the first scrape, each once for each microworkflow, by their status about a minute later.",
)
HOP = Metric(
    name="microworkflows_hop_seconds",
    labels=("context", "microworkflow"),
    kind=Kind.HISTOGRAM,
    help="Time from the recording of an event to its first delivery to a microworkflow.",
)
SCRAPE_ERROR = Metric(
    name="microworkflows_scrape_error",
    labels=("part",),
    help="1 if a part could not be read, wholly or in time: what is unknown is absent.",
)
SCRAPE_SECONDS = Metric(
    name="microworkflows_scrape_seconds",
    labels=("part",),
    help="Time that it took to read a part.",
)

METRICS: Final = (
    *(OUTBOX_EVENTS, OLDEST_PENDING, INBOX_MESSAGES),
    *(WORKERS, HEARTBEAT_AGE, RELAY_LEADS, RELAY_SILENT, RELAYS_STANDING_BY),
    *(QUEUE_MESSAGES, QUEUE_CONSUMERS, DEAD_LETTERS),
    *(EVENTS_RECORDED, MESSAGES_RECEIVED, HOP),
    *(SCRAPE_ERROR, SCRAPE_SECONDS),
)
