"""The journal's tables: flows, their events, deliveries and attempts; and the processes, contexts and alarms around them.

The collector writes them, from the notices of any number of services and from their tables; nothing else does. Times are those of the
sender's clock, less its offset where that is known (:attr:`Process.clock_offset`).
"""

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from microworkflows import times


class Moment(models.DateTimeField):  # type: ignore[type-arg]  # the stubs' parameters are of no use here
    """A time that is aware in Python, whatever the project's ``USE_TZ`` says."""

    def deconstruct(self) -> Any:
        """Return the field as Django's own, which it is in the database."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.DateTimeField", args, kwargs

    def get_prep_value(self, value: Any) -> Any:
        return super().get_prep_value(times.stored(value) if isinstance(value, datetime) else value)

    def from_db_value(self, value: datetime | None, *_: object) -> datetime | None:
        return None if value is None else times.aware(value)


class Process(models.Model):
    """A process of some service that sends notices."""

    class Kind(models.TextChoices):
        """What it is for."""

        WORKER = "worker"
        POOL = "pool"
        RELAY = "relay"
        WEB = "web"

    id = models.UUIDField(primary_key=True)
    service = models.CharField(max_length=63)
    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField(max_length=255)
    host = models.CharField(max_length=255)
    pid = models.PositiveBigIntegerField()
    contexts = models.JSONField(default=list, help_text=_("Labels of the contexts that it serves or relays."))
    began_at = Moment()
    seen_at = Moment(help_text=_("When its last notice came, on the collector's clock."))
    stopped_at = Moment(null=True, help_text=_("When it said that it ends."))
    clock_offset = models.DurationField(
        null=True, help_text=_("What its clock is behind the collector's; null: unknown.")
    )
    next_number = models.PositiveBigIntegerField(help_text=_("Number of the notice that is expected next."))
    life = models.JSONField(
        default=dict, help_text=_("Its last sign of life: depths of queues, messages in hand, leads.")
    )

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["seen_at"], name="mw_journal_process_seen")]

    def __str__(self) -> str:
        return self.name


class Gap(models.Model):
    """Notices of a process that never came; filled from its service's tables, or known to be missing."""

    process = models.ForeignKey(Process, models.CASCADE, related_name="gaps")
    first = models.PositiveBigIntegerField()
    number = models.PositiveBigIntegerField(
        null=True, help_text=_("How many are missing; null: unknown, it died.")
    )
    since = Moment(help_text=_("Time of the last notice before them."))
    until = Moment(help_text=_("Time of the first notice after them, or of the process's death."))
    filled_at = Moment(null=True)

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["since"], name="mw_journal_gap_open", condition=Q(filled_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.number or 'some'} notices of {self.process_id}"


class Context(models.Model):
    """A bounded context, as the last process that serves it declared it; and its tables' last tally."""

    name = models.CharField(primary_key=True, max_length=255)
    service = models.CharField(max_length=63)
    declared_at = Moment()
    declarations = models.JSONField(
        help_text=_(
            "Its part of the declarations: workflows, each with the time since when it listens, announces, outcomes, deadlines."
        )
    )
    admin_url = models.CharField(max_length=255, blank=True)
    tally = models.JSONField(default=dict, help_text=_("The last notice of the kind tally."))
    tallied_at = Moment(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class Flow(models.Model):
    """Everything that followed from one cause; its state is worked out anew with each notice about it."""

    class State(models.IntegerChoices):
        """Where a flow stands."""

        ON_ITS_WAY = 1, "on its way"
        FAILED = 2, "failed"
        """A delivery is parked, or an event was unheard by a declared listener, or rejected: somebody's help is needed."""
        DONE = 3, "done"
        """A declared final event happened and nothing is open, or nothing declared can follow."""
        UNKNOWN = 4, "unknown"
        """Notices are missing, or nobody declared who listens."""

    correlation_id = models.CharField(max_length=255, unique=True)
    kind = models.CharField(max_length=255, blank=True, help_text=_("Of the subject, with key and name."))
    key = models.CharField(max_length=255, blank=True)
    name = models.CharField(max_length=255, blank=True)
    trace_id = models.CharField(max_length=32, blank=True)
    began_at = Moment()
    last_at = Moment(help_text=_("Time of the last thing that happened."))
    state = models.PositiveSmallIntegerField(choices=State, default=State.UNKNOWN)
    since = Moment(help_text=_("When it came into its state."))
    outcome = models.CharField(
        max_length=63, blank=True, help_text=_("Outcome of the final event, once it is done.")
    )
    overdue_at = Moment(
        null=True, help_text=_("When the first deadline that it misses passed; null: it misses none.")
    )
    due_at = Moment(null=True, help_text=_("When the next deadline passes; null: there is none."))
    waiting_for = models.JSONField(
        default=list, help_text=_("Labels of the consumers, or relays, that have to act next.")
    )
    variant = models.CharField(
        max_length=16, blank=True, help_text=_("Which way it went: a hash of types and consumers.")
    )
    events_count = models.PositiveIntegerField(default=0)
    failures_count = models.PositiveIntegerField(default=0)

    class Meta:
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["state", "-began_at"], name="mw_journal_flow_state"),
            models.Index(fields=["-began_at"], name="mw_journal_flow_began"),
            models.Index(fields=["last_at"], name="mw_journal_flow_last"),
            models.Index(fields=["outcome", "-began_at"], name="mw_journal_flow_outcome"),
            models.Index(fields=["variant", "-began_at"], name="mw_journal_flow_variant"),
            models.Index(Lower("name"), name="mw_journal_flow_name"),
            models.Index(fields=["key"], name="mw_journal_flow_key"),
            models.Index(fields=["trace_id"], name="mw_journal_flow_trace"),
            models.Index(
                fields=["overdue_at"], name="mw_journal_flow_overdue", condition=Q(overdue_at__isnull=False)
            ),
            models.Index(fields=["due_at"], name="mw_journal_flow_due", condition=Q(due_at__isnull=False)),
            models.Index(
                fields=["-began_at"],
                name="mw_journal_flow_need",
                condition=Q(state__in=[2, 4]) | Q(overdue_at__isnull=False),
            ),
            models.Index(fields=["-began_at"], name="mw_journal_flow_open", condition=~Q(state=3)),
            models.Index(
                fields=["since", "outcome", "began_at"], name="mw_journal_flow_done", condition=Q(state=3)
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.correlation_id


class Event(models.Model):
    """One event of a flow."""

    class Status(models.IntegerChoices):
        """Progress on its way to the broker."""

        UNTOLD = 0, "untold"
        """Its relay's notice has not come; it is known from those who received it."""
        RELAYED = 2, "relayed"
        UNHEARD = 3, "unheard"
        REJECTED = 4, "rejected"

    id = models.UUIDField(primary_key=True)
    flow = models.ForeignKey(Flow, models.CASCADE, related_name="events")
    type = models.CharField(max_length=255)
    emitted_by = models.CharField(
        max_length=255, blank=True, help_text=_("Label of a microworkflow; blank: the flow begins.")
    )
    causation_id = models.CharField(max_length=255, blank=True)
    recorded_at = Moment()
    relayed_at = Moment(null=True)
    status = models.PositiveSmallIntegerField(choices=Status, default=Status.UNTOLD)
    error = models.TextField(blank=True, help_text=_("The broker's reason to refuse it for good."))
    relay = models.ForeignKey(Process, models.SET_NULL, null=True, related_name="+", db_constraint=False)
    mark = models.CharField(max_length=255, blank=True)
    hops = models.PositiveIntegerField(default=0)
    versions = models.JSONField(
        null=True,
        help_text=_(
            "Types of a fact that was recorded in several versions, the newest first; null: the one type."
        ),
    )

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.type} {self.pk}"

    @property
    def types(self) -> list[str]:
        """Types under which it was recorded, the newest first."""
        return self.versions or [self.type]


class Delivery(models.Model):
    """An event's way into one consumer; its last known state. What is expected and has not begun has no row."""

    class Status(models.IntegerChoices):
        """Progress of a delivery."""

        RUNNING = 1, "running"
        HANDLED = 2, "handled"
        WAITING = 3, "waiting"
        PARKED = 4, "parked"
        DISMISSED = 5, "dismissed"

    id = models.BigAutoField(primary_key=True)
    event = models.ForeignKey(Event, models.CASCADE, related_name="deliveries")
    consumer = models.CharField(max_length=255, help_text=_("Label of a microworkflow, or of a context."))
    status = models.PositiveSmallIntegerField(choices=Status)
    mode = models.CharField(max_length=63, blank=True)
    received_at = Moment(help_text=_("When its first attempt began."))
    handled_at = Moment(null=True)
    changed_at = Moment(help_text=_("When it came into its status."))
    duration = models.DurationField(null=True, help_text=_("Of the last attempt."))
    attempts = models.PositiveIntegerField(default=1, help_text=_("Number of the last attempt."))
    due_at = Moment(null=True, help_text=_("When it is tried again."))
    error = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=32, blank=True)
    process = models.ForeignKey(Process, models.SET_NULL, null=True, related_name="+", db_constraint=False)
    emitted = models.JSONField(
        default=list, help_text=_("Ids of the events that the handled one brought about.")
    )

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["event", "consumer"], name="mw_journal_one_delivery"),
        ]
        indexes = [
            models.Index(
                fields=["fingerprint"], name="mw_journal_delivery_failed", condition=~Q(fingerprint="")
            ),
            models.Index(
                fields=["consumer", "status"],
                name="mw_journal_delivery_open",
                condition=~Q(status=2) & ~Q(status=5),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} to {self.consumer}"


class Attempt(models.Model):
    """An attempt that failed, or what somebody did about it; an attempt that succeeded is its delivery's row."""

    class Ending(models.TextChoices):
        """How it ended."""

        FAILED = "failed"
        PARKED = "parked"
        REPLAYED = "replayed"
        DISMISSED = "dismissed"

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="failures")
    number = models.PositiveIntegerField()
    ending = models.CharField(max_length=10, choices=Ending)
    ended_at = Moment()
    duration = models.DurationField(null=True)
    error = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=32, blank=True)
    process = models.ForeignKey(Process, models.SET_NULL, null=True, related_name="+", db_constraint=False)
    by = models.CharField(max_length=255, blank=True, help_text=_("Who replayed or dismissed it."))
    why = models.TextField(blank=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["delivery", "number", "ending", "ended_at"], name="mw_journal_one_attempt"
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.delivery_id}"


class Minute(models.Model):
    """Numbers of one minute on one edge: an event type, and the consumer to which it went; blank: the announcement itself."""

    id = models.BigAutoField(primary_key=True)
    at = Moment(help_text=_("Beginning of the minute."))
    type = models.CharField(max_length=255)
    consumer = models.CharField(max_length=255, blank=True)
    count = models.PositiveIntegerField(default=0, help_text=_("Events relayed, or deliveries handled."))
    failed = models.PositiveIntegerField(default=0, help_text=_("Attempts failed."))
    parked = models.PositiveIntegerField(default=0)
    hops = models.JSONField(
        default=list,
        help_text=_(
            "Histogram of the time from recording to handling: counts by power of two of milliseconds."
        ),
    )

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["at", "type", "consumer"], name="mw_journal_one_minute"),
        ]

    def __str__(self) -> str:
        return f"{self.at} {self.type} {self.consumer}"


class Alarm(models.Model):
    """An event that did not come in time, raised once by the watcher, and closed when it comes or the flow ends."""

    id = models.BigAutoField(primary_key=True)
    flow = models.ForeignKey(Flow, models.CASCADE, related_name="alarms")
    awaited = models.CharField(max_length=255, help_text=_("Type of the event that has not come."))
    of = models.CharField(max_length=255, help_text=_("Type of the event since which it is awaited."))
    due_at = Moment()
    raised_at = Moment()
    closed_at = Moment(null=True)
    owner = models.CharField(max_length=255, blank=True, help_text=_("Context that has to act."))
    cause = models.CharField(
        max_length=63, help_text=_("Likely cause, in a word: worker, backlog, parked, relay, unheard …")
    )
    details = models.TextField(help_text=_("What stands in the way, and what to do."))

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["flow", "awaited", "of"], name="mw_journal_one_alarm"),
        ]
        indexes = [
            models.Index(fields=["-raised_at"], name="mw_journal_alarm_raised"),
            models.Index(F("raised_at"), name="mw_journal_alarm_open", condition=Q(closed_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.awaited} of {self.flow_id}"


class Alert(models.Model):
    """A message to people about alarms of one kind and cause, sent at least once to each address that the settings name."""

    class Kind(models.TextChoices):
        """What it tells."""

        OVERDUE = "overdue"
        ENDED = "ended"

    id = models.UUIDField(primary_key=True, help_text=_("Key by which a receiver knows a repetition."))
    kind = models.CharField(max_length=10, choices=Kind)
    owner = models.CharField(max_length=255)
    cause = models.CharField(max_length=63)
    awaited = models.CharField(max_length=255)
    details = models.TextField(help_text=_("Of its first alarm."))
    count = models.PositiveIntegerField(default=1, help_text=_("Number of alarms that it tells of."))
    flows = models.JSONField(default=list, help_text=_("Subject and correlation id of the first of them."))
    began_at = Moment()
    due_at = Moment(help_text=_("When it is sent, or tried again."))
    sealed_at = Moment(null=True, help_text=_("When it was sent first: no alarm joins any more."))
    attempts = models.PositiveIntegerField(default=0)
    mailed_at = Moment(null=True)
    posted_at = Moment(null=True)
    done_at = Moment(null=True, help_text=_("When all had it, or it was given up."))
    error = models.TextField(blank=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "owner", "cause", "awaited"],
                name="mw_journal_one_open_alert",
                condition=Q(sealed_at__isnull=True),
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="mw_journal_alert_due", condition=Q(done_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.awaited}"
