"""The cut-over's tables: modes of contexts and their changes, shadow comparisons, missed events, moves under way."""

from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows import ids, words
from microworkflows.cloudevents import context_of
from microworkflows.cutover.stamps import Mode
from microworkflows.models import PrimaryManager

_MODES = [(mode.value, mode.value) for mode in Mode]


def mode_text(mode: str, percent: int | None) -> str:
    """Return a mode for logs and commands, such as ``live 10 %``."""
    return f"{mode} {percent} %" if percent else str(mode)


def mode_said(mode: str, percent: int | None) -> str:
    """Return a mode for a page, in the language of the person who looks."""
    word = words.shown(mode)
    return gettext("%(mode)s %(percent)s %%") % {"mode": word, "percent": percent} if percent else word


class ContextMode(models.Model):
    """The mode of one context for the flows that begin now; a context without a row is inline."""

    context = models.CharField(max_length=100, primary_key=True)
    mode = models.CharField(max_length=6, choices=_MODES, default=Mode.INLINE.value)
    percent = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_("Of a live context: how many of a hundred flows it does; the others are done inline."),
    )
    return_at = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_(
            "Of a live context: number of failing messages of its live flows at which it goes back to inline by itself."
        ),
    )
    changed_at = models.DateTimeField()

    objects = PrimaryManager["ContextMode"]()

    class Meta:
        ordering = ["context"]
        verbose_name = _("context")
        verbose_name_plural = _("contexts")
        default_permissions = ("view", "change")
        constraints = [
            models.CheckConstraint(
                condition=Q(mode="live", percent__gte=1, percent__lte=100)
                | Q(mode__in=["inline", "shadow"], percent__isnull=True),
                name="microworkflows_cutover_percent_when_live",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.context} {self.described}"

    @property
    def described(self) -> str:
        """The mode for people, such as ``live 10 %``."""
        return mode_text(self.mode, self.percent)


class ModeChange(models.Model):
    """One change of a context's mode: who, when, from, to and why."""

    context = models.CharField(max_length=100)
    from_mode = models.CharField(max_length=6, choices=_MODES)
    from_percent = models.PositiveSmallIntegerField(null=True)
    to_mode = models.CharField(max_length=6, choices=_MODES)
    to_percent = models.PositiveSmallIntegerField(null=True)
    why = models.CharField(max_length=500)
    although = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text=_("What spoke against it, and was known: a sentence on each line."),
    )
    changed_by = models.CharField(max_length=150)
    changed_at = models.DateTimeField()

    objects = PrimaryManager["ModeChange"]()

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view",)
        indexes = [models.Index(fields=["context", "-id"], name="microworkflows_cutover_changes")]

    def __str__(self) -> str:
        return f"{self.context}: {self.from_described} → {self.to_described}"

    @property
    def against(self) -> list[str]:
        """What spoke against it, and was known, in sentences."""
        return self.although.splitlines()

    @property
    def from_described(self) -> str:
        """The old mode, for people."""
        return mode_said(self.from_mode, self.from_percent)

    @property
    def to_described(self) -> str:
        """The new mode, for people."""
        return mode_said(self.to_mode, self.to_percent)


class ShadowComparison(models.Model):
    """The comparison of one shadow run of a microworkflow with the legacy step."""

    class Outcome(models.TextChoices):
        """Result of a comparison."""

        AGREED = "agreed", _("agreed")
        DIFFERS = "differs", _("differs")
        FAILED = "failed", _("failed")
        REFUSED = "refused", _("refused")

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    workflow = models.CharField(max_length=200, help_text=_("Label of the microworkflow."))
    event_id = models.UUIDField()
    event_type = models.CharField(max_length=200)
    correlation_id = models.TextField()
    outcome = models.CharField(max_length=7, choices=Outcome)
    differences = models.JSONField(
        default=list,
        encoder=DjangoJSONEncoder,
        help_text=_("A list of objects with what, legacy and shadow; empty when they agreed."),
    )
    legacy_microseconds = models.PositiveBigIntegerField()
    shadow_microseconds = models.PositiveBigIntegerField()
    compared_at = models.DateTimeField()

    objects = PrimaryManager["ShadowComparison"]()

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view", "delete")
        indexes = [
            models.Index(fields=["workflow", "outcome"], name="microworkflows_cutover_agreed"),
            models.Index(fields=["correlation_id"], name="microworkflows_cutover_flow"),
            models.Index(fields=["compared_at"], name="microworkflows_cutover_age"),
        ]

    def __str__(self) -> str:
        return f"{self.workflow} {self.get_outcome_display()}"

    @property
    def context(self) -> str:
        """Label of the context whose microworkflow ran."""
        return context_of(self.workflow)


class MissedEvent(models.Model):
    """An event that was to be recorded beside the direct calls, and could not be: nothing else was lost by that."""

    event = models.CharField(
        max_length=200, help_text=_("Its type; or its class, or the function that was to make it.")
    )
    error = models.TextField()
    correlation_id = models.TextField(blank=True, help_text=_("The flow, where that is known."))
    missed_at = models.DateTimeField()

    objects = PrimaryManager["MissedEvent"]()

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view", "delete")
        indexes = [models.Index(fields=["missed_at"], name="microworkflows_cutover_missed")]

    def __str__(self) -> str:
        return f"{self.event} was not recorded"


class ContextMove(models.Model):
    """Progress of the move of a context's tables to a database of their own, so that it can be resumed."""

    context = models.CharField(max_length=100, primary_key=True)
    target = models.CharField(max_length=500, help_text=_("URL of the database, without the password."))
    step = models.CharField(max_length=20)
    started_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    counts = models.JSONField(default=dict, help_text=_("Rows by table, as they were copied."))
    evidence = models.TextField(
        default="",
        help_text=_("The proof that the context was apart from the others, or why it was moved without one."),
    )
    copied = models.JSONField(
        default=dict, help_text=_("Key of the last row that was copied, by table; null: all were.")
    )
    aside = models.JSONField(
        default=list, help_text=_("Constraints of the target that come back before the move ends.")
    )
    paused_at = models.DateTimeField(null=True, help_text=_("Time at which the context last paused."))
    paused_seconds = models.FloatField(
        null=True, help_text=_("From then on until it could write in the target.")
    )

    objects = PrimaryManager["ContextMove"]()

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.context} → {self.target}: {self.step}"


class OwnDatabase(models.Model):
    """A context for which this database was made: others' tables are not here. A monolith's database has no such row."""

    context = models.CharField(max_length=100, primary_key=True)
    others = models.CharField(
        max_length=500, help_text=_("URL of the database with the others' rows, without the password.")
    )
    places = models.JSONField(
        default=dict, help_text=_("The same by label, for those that had left that database before.")
    )
    made_at = models.DateTimeField()

    objects = PrimaryManager["OwnDatabase"]()

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"made for {self.context}; others in {self.others}"
