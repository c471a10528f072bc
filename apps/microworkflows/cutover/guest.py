"""The cut-over as a guest of the core: it routes steps to the monolith, and follows what the core does."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from microworkflows import flows, purging, sensitive
from microworkflows.cloudevents import CloudEvent, context_of
from microworkflows.cutover import conf, inline, returning, shadow, switch
from microworkflows.cutover.models import MissedEvent, ShadowComparison
from microworkflows.cutover.stamps import BY_MONOLITH, MONOLITH, Mode, Stamp
from microworkflows.errors import UnservedStepError


class Cutover(flows.Router):
    """Stamps flows with the contexts whose steps the monolith does, and makes it do them.

    The mark of a flow is its :class:`~microworkflows.cutover.stamps.Stamp` as text.
    """

    def mark(self, correlation_id: str) -> str | None:
        """Return the stamp of a flow that begins; None if every context is live for it."""
        return str(switch.stamp(correlation_id)) or None if conf.contexts() else None

    def queue_for(self, context: str, mark: str) -> str | None:
        """Return the monolith's queue for a step that it does, the context's own for a live one, None for one done.

        Raises:
            UnreadableMarkError: the mark is not a stamp.
            UnservedStepError: the monolith has to do the step, and is not known here to hand the context over.
        """
        mode = Stamp.parse(mark).mode(context)
        if mode not in BY_MONOLITH:
            return context if mode else None
        if context not in conf.contexts():
            raise UnservedStepError(
                f"In this flow, marked {mark!r}, the monolith does the steps of {context}, and MICROWORKFLOWS['CUTOVER'] "
                f"of this process does not name {context}: nobody would do this one. Let CUTOVER name {context} in all "
                f"processes, run the monolith's worker, and replay this message. If {context} has a database of its own, "
                "move it back for that."
            )
        return MONOLITH

    def mode(self, context: str, mark: str) -> str:
        """Return ``inline``, ``shadow`` or ``done``; empty if the context is live."""
        mode = Stamp.parse(mark).mode(context)
        return "done" if mode is None else "" if mode is Mode.LIVE else str(mode)

    def page_about(self, mode: str, correlation_id: str, user: Any) -> str:
        """Return the address of the flow's shadow comparisons for those who may see them."""
        if not mode.startswith(Mode.SHADOW) or not user.has_perm(
            "microworkflows_cutover.view_shadowcomparison"
        ):
            return ""
        try:
            url = reverse("admin:microworkflows_cutover_shadowcomparison_changelist")
        except NoReverseMatch:  # this service has no admin
            return ""
        return f"{url}?{urlencode({'q': correlation_id})}"

    def contexts_elsewhere(self) -> Collection[str]:
        """Return the contexts that were moved to a database of their own, while something is being handed over."""
        return switch.moved() if conf.contexts() else ()

    def queues(self) -> Sequence[str]:
        """Return the queue of the monolith's own worker, while something is being handed over."""
        return (MONOLITH,) if conf.contexts() else ()

    def contexts_served_by(self, queue: str) -> Sequence[str]:
        """Return the contexts that are being handed over: the monolith does their steps."""
        return conf.contexts()

    def is_bound_late(self, context: str, event_type: str) -> bool:
        """Return True for a context that is being handed over, if the one that announces this type is, too.

        Only then do all flows with such an event begin here, where they are stamped.
        """
        named = conf.contexts()
        return context in named and context_of(event_type) in named

    def receive(
        self, event: CloudEvent, *, queue: str, attempt: int | None, label: str | None, last_delivery: bool
    ) -> None:
        """Do the steps that the monolith does in this flow."""
        inline.receive(event, attempt=attempt, label=label, last_delivery=last_delivery)

    def recorded(self, events: Sequence[CloudEvent]) -> None:
        """Do the inline steps that follow from events just recorded."""
        inline.follow(events)

    def failed(self, attempt: flows.Attempt, failure: flows.Failure) -> None:
        """Take a live context back to inline if too much of it fails."""
        if not attempt.mode:
            returning.look(context_of(attempt.consumer))

    def before_task(self, name: str) -> None:
        """Refuse tasks that a shadow run sends."""
        shadow.refuse_in_shadow(f"Celery task {name}")

    def purge(self, *, before: datetime) -> Mapping[str, int]:
        """Delete comparisons of shadow runs, and what is kept of missed events."""
        compared = ShadowComparison.objects.filter(compared_at__lt=before)
        missed = MissedEvent.objects.filter(missed_at__lt=before)
        return {
            "comparisons of shadow runs": purging.delete_in_batches(compared, by="compared_at"),
            "notes of missed events": purging.delete_in_batches(missed, by="missed_at"),
        }

    def retentions(self, *, default: timedelta) -> Mapping[str, timedelta]:
        """Return the default, by which both go."""
        return dict.fromkeys(("comparisons of shadow runs", "notes of missed events"), default)

    def erase(self, erasing: flows.Erasing) -> Mapping[str, int]:
        """Erase the values that differed in shadow runs, and the errors of missed events."""
        text, compared, missed = sensitive.erased_text(erasing.at), 0, 0
        of_flows = Q(correlation_id__in=erasing.correlation_ids)
        about = of_flows | Q(event_id__in=erasing.events)  # the row of a compared event may be purged
        for row in ShadowComparison.objects.filter(about).exclude(differences=[]):
            told = [
                {"what": each.get("what", ""), "legacy": text, "shadow": text} for each in row.differences
            ]
            compared += (
                ShadowComparison.objects.filter(pk=row.pk).exclude(differences=told).update(differences=told)
            )
        for note in MissedEvent.objects.filter(of_flows):
            error = sensitive.erased_error(note.error, at=erasing.at)
            missed += MissedEvent.objects.filter(pk=note.pk).exclude(error=error).update(error=error)
        return {"comparisons of shadow runs": compared, "notes of missed events": missed}
