"""System checks of the cut-over; they run where its app is installed."""

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Warning, register
from django.core.exceptions import ImproperlyConfigured

from microworkflows import conf, registry
from microworkflows.cutover import legacy_steps

TAG = "microworkflows"


@register(TAG)
def check_contexts(**kwargs: Any) -> list[CheckMessage]:
    """W041: ``CUTOVER`` names what is no installed app, or an app that has no microworkflow."""
    installed = {app.label for app in apps.get_app_configs()}
    return [
        Warning(
            f"MICROWORKFLOWS['CUTOVER'] names {context!r}, which "
            + ("has no microworkflow." if context in installed else "is no label of an installed app."),
            hint="Is it misspelt? If it has left this service for good, take it out.",
            id="microworkflows.W041",
        )
        for context in _cutover() or ()
        if not registry.subscriptions(context)
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


def _cutover() -> Sequence[str] | None:
    try:
        return conf.current().cutover
    except ImproperlyConfigured:  # which is E001
        return None
