"""System checks of the cut-over; they run if its app is installed."""

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from microworkflows import registry
from microworkflows.cutover import conf, legacy_steps, queries
from microworkflows.cutover.stamps import MONOLITH
from microworkflows.models import InboxEvent, OutboxEvent

TAG = "microworkflows"

_NEWEST_EVENTS = 10_000
"""Number of events that are searched, of those recorded last, beside all the messages that wait or are parked."""


@register(TAG)
def check_contexts(**kwargs: Any) -> list[CheckMessage]:
    """W041: ``CUTOVER`` names an app that is not installed, or one that has no microworkflow."""
    installed = {app.label for app in apps.get_app_configs()}
    return [
        Warning(
            f"MICROWORKFLOWS['CUTOVER'] names {context!r}, which "
            + ("has no microworkflow." if context in installed else "is not the label of an installed app."),
            hint="Is it misspelt? If it has left this service for good, remove it.",
            id="microworkflows.W041",
        )
        for context in _cutover() or ()
        if not registry.subscriptions(context)
    ]


@register(TAG)
def check_reserved_names(**kwargs: Any) -> list[CheckMessage]:
    """E042: a context bears the name of the queue that the monolith's own worker consumes."""
    return [
        Error(
            f"The context {context!r} has the name of the queue of a monolith's own worker during a cut-over, which "
            "would take its events for the monolith's.",
            hint="Give its app another label.",
            id="microworkflows.E042",
        )
        for context in registry.contexts()
        if context == MONOLITH
    ]


@register(TAG)
def check_legacy_steps(**kwargs: Any) -> list[CheckMessage]:
    """W043: a legacy step of a context that is not being cut over: it never runs."""
    cutover = _cutover()
    if cutover is None:
        return []
    return [
        Warning(
            f"The legacy step of {workflow.label} never runs: MICROWORKFLOWS['CUTOVER'] does not name "
            f"{workflow.context!r}.",
            hint="Add it there, or delete the legacy step.",
            obj=workflow,
            id="microworkflows.W043",
        )
        for workflow in registry.workflows()
        if workflow.context not in cutover and legacy_steps.of(workflow) is not None
    ]


@register(TAG, Tags.database)
def check_forsaken_flows(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """W044: flows wait for the monolith to do steps of a context that ``CUTOVER`` does not name (any more)."""
    alias = router.db_for_write(InboxEvent)
    if alias not in (databases or ()) or _cutover() is None:
        return []
    tables = {model._meta.db_table for model in (InboxEvent, OutboxEvent)}
    if not tables <= set(connections[alias].introspection.table_names()):
        return []  # migrate is about to make them
    return [
        Warning(
            f"{number} flows wait for the monolith to do steps of {context!r}, as they began, and "
            f"MICROWORKFLOWS['CUTOVER'] does not name {context!r}, so nobody does them.",
            hint="Name it again until these flows have ended; `manage.py parked` lists the messages to replay.",
            id="microworkflows.W044",
        )
        for context, number in queries.forsaken(newest=_NEWEST_EVENTS).items()
    ]


def _cutover() -> Sequence[str] | None:
    try:
        return conf.contexts()
    except ImproperlyConfigured:  # which is E001
        return None
