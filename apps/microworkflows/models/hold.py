"""Holds: what is paused, who paused it, why and until when; the row stays as the record of it until it is purged."""

from datetime import datetime
from typing import Final

from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows import ids, times
from microworkflows.cloudevents import context_of
from microworkflows.models.columns import PrimaryManager


class Hold(models.Model):
    """A pause of a context, a microworkflow or a flow."""

    BREAKER: Final = "the circuit breaker"
    """Name that stands for a person's where a microworkflow's breaker paused or resumed it."""

    class Kind(models.IntegerChoices):
        """What is paused."""

        CONTEXT = 1, "context"
        MICROWORKFLOW = 2, "microworkflow"
        FLOW = 3, "flow"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    kind = models.PositiveSmallIntegerField(choices=Kind)
    name = models.CharField(
        max_length=255, help_text=_("Label of the context or microworkflow, or correlation id of the flow.")
    )
    began_at = models.DateTimeField()
    ends_at = models.DateTimeField(
        null=True, help_text=_("When it ends by itself; null: somebody resumes it.")
    )
    ended_at = models.DateTimeField(null=True, help_text=_("When somebody resumed it; null: nobody did."))
    by = models.CharField(max_length=255, help_text=_("Name of the person who paused it."))
    why = models.TextField(help_text=_("The reason that they gave."))
    ended_by = models.CharField(max_length=255, blank=True, help_text=_("Name of the person who resumed it."))

    objects = PrimaryManager["Hold"]()

    class Meta:
        db_table = "microworkflows_hold"
        verbose_name = _("pause")
        default_permissions = ("view",)
        permissions = [("pause_hold", "Can pause and resume")]
        indexes = [models.Index(fields=["ended_at"], name="microworkflows_hold_ended")]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "name"],
                condition=models.Q(ended_at=None),
                name="microworkflows_one_hold",
            )
        ]

    def __str__(self) -> str:
        match self.kind:
            case self.Kind.CONTEXT:
                said = gettext("context %(name)s")
            case self.Kind.MICROWORKFLOW:
                said = gettext("microworkflow %(name)s")
            case _:
                said = gettext("flow %(name)s")
        return said % {"name": self.name}

    @property
    def what(self) -> str:
        """Kind and name, as logs and commands tell them."""
        return f"{self.Kind(self.kind).label} {self.name}"

    @property
    def paused_by(self) -> str:
        """Name of whoever paused it, as people read it."""
        return self._read(self.by)

    @property
    def resumed_by(self) -> str:
        """Name of whoever resumed it, as people read it; empty if nobody did."""
        return self._read(self.ended_by)

    @property
    def is_breakers(self) -> bool:
        """True if a microworkflow's breaker began it."""
        return self.by == self.BREAKER

    def _read(self, name: str) -> str:
        return gettext("the circuit breaker") if name == self.BREAKER else name

    def over_at(self, now: datetime) -> datetime | None:
        """Return the time since which it is over; None while it is in force."""
        ends = [times.aware(each) for each in (self.ended_at, self.ends_at) if each is not None]
        return min(ends) if ends and min(ends) <= now else None

    def holds(self, consumer: str, *, flow: str) -> bool:
        """Return True if it is about a consumer, by its label, or about this flow."""
        match self.kind:
            case self.Kind.CONTEXT:
                return self.name == context_of(consumer)
            case self.Kind.MICROWORKFLOW:
                return self.name == consumer
            case _:
                return self.name == flow

    def touches(self, context: str) -> bool:
        """Return True if messages of a context may be held by it."""
        return self.kind == self.Kind.FLOW or context_of(self.name) == context


Hold._meta.verbose_name_plural = _("pauses")  # in Meta, it would make a migration
