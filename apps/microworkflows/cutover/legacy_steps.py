"""Legacy steps: the functions with which the monolith does today what a microworkflow will do."""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from microworkflows.workflows import Emitted, Microworkflow

Observe = Callable[[Any], Iterable[QuerySet[Any]]]


@dataclass(frozen=True, kw_only=True)
class LegacyStep:
    """What the monolith does in a microworkflow's place, and how the two are compared."""

    workflow: Microworkflow[Any]
    function: Callable[[Any], Emitted]
    observe: Observe | None
    noise: frozenset[str]


_steps: dict[str, LegacyStep] = {}


def legacy(
    workflow: Microworkflow[Any], *, observe: Observe | None = None, noise: Iterable[str] = ()
) -> Callable[[Callable[[Any], Emitted]], Callable[[Any], Emitted]]:
    """Register a function as the legacy step of a microworkflow; deleting it later ends that.

    ::

        @legacy(take_payment, observe=lambda event: [Payment.objects.filter(order=event.order_id)])
        def charge(event):
            payment = billing.charge(Order.objects.get(pk=event.order_id))  # the old function, as it is
            return PaymentReceived(order_id=event.order_id, ...)

    The function takes the event as the microworkflow reads it, calls what did the work until now, and returns the
    events that this stands for: they are recorded for it. While the context is inline or in shadow it runs in the
    microworkflow's place.

    Args:
        workflow: The microworkflow that is to take over.
        observe: Given the event, returns the querysets whose rows a shadow run compares: as they are after the
            legacy step, and after the microworkflow.
        noise: What may differ: a field as ``app_label.Model.field``, or part of a payload as ``<type of event>.<path>``,
            such as ``payments.payment_received.v1.payment_reference``. Keys that are generated and times that are
            set on saving always may.

    Raises:
        ValueError: the microworkflow has a legacy step already.
    """

    def register(function: Callable[[Any], Emitted]) -> Callable[[Any], Emitted]:
        if (other := _steps.get(workflow.label)) is not None and other.function is not function:
            raise ValueError(
                f"{workflow.label} has the legacy step {_name(other.function)} already; {_name(function)} would be "
                "a second one. Delete one of them."
            )
        _steps[workflow.label] = LegacyStep(
            workflow=workflow, function=function, observe=observe, noise=frozenset(noise)
        )
        return function

    return register


def of(workflow: Microworkflow[Any]) -> LegacyStep | None:
    """Return the legacy step of a microworkflow, if it has one."""
    return _steps.get(workflow.label)


def of_context(context: str) -> list[LegacyStep]:
    """Return the legacy steps of a context."""
    return [step for step in _steps.values() if step.workflow.context == context]


@contextmanager
def isolated() -> Iterator[None]:
    """Forget, at the end of the block, what was registered in it (for tests that register legacy steps of their own)."""
    before = dict(_steps)
    try:
        yield
    finally:
        _steps.clear()
        _steps.update(before)


def _name(function: Callable[..., Any]) -> str:
    plain = function.func if isinstance(function, functools.partial) else function
    return f"{plain.__module__}.{plain.__qualname__}"
