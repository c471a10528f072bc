"""Legacy steps: the monolith's functions for the work that microworkflows will take over."""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, QuerySet

from microworkflows.workflows import Emitted, Microworkflow

Observe = Callable[[Any], Iterable[QuerySet[Any]]]


@dataclass(frozen=True, kw_only=True)
class LegacyStep:
    """The monolith's function in a microworkflow's place, and the rules for their comparison."""

    workflow: Microworkflow[Any]
    function: Callable[[Any], Emitted]
    observe: Observe | None
    noise: frozenset[str]
    new_tables: frozenset[str]


_steps: dict[str, LegacyStep] = {}


def legacy(
    workflow: Microworkflow[Any],
    *,
    observe: Observe | None = None,
    noise: Iterable[str] = (),
    new_tables: Iterable[type[Model]] = (),
) -> Callable[[Callable[[Any], Emitted]], Callable[[Any], Emitted]]:
    """Register a function as the legacy step of a microworkflow, until it is deleted.

    ::

        @legacy(take_payment, observe=lambda event: [Payment.objects.filter(order=event.order_id)])
        def charge(event):
            payment = billing.charge(Order.objects.get(pk=event.order_id))  # the old function, as it is
            return PaymentReceived(order_id=event.order_id, ...)

    The function takes the event as the microworkflow reads it, calls the code that did the work until now, and returns
    the events for it, which are recorded. While the context is inline or in shadow, it runs in the microworkflow's
    place.

    Args:
        workflow: The microworkflow that is to take over.
        observe: Takes the event, returns the querysets whose rows a shadow run compares: their state after the legacy
            step, and after the microworkflow.
        noise: Patterns of values that may differ: a field as ``app_label.Model.field``, or part of a payload as
            ``<type of event>.<path>``, such as ``payments.payment_received.v1.payment_reference``. Generated keys and
            times set on saving may always differ. A whole model, as ``app_label.Model``, may have other rows, more or fewer.
        new_tables: Models that only the microworkflow writes, so that there is nothing to compare with. It counts as a difference if
            the legacy step writes one of them.

    Raises:
        TypeError: ``workflow`` is no microworkflow.
        ValueError: the microworkflow has a legacy step already.
    """
    if not isinstance(workflow, Microworkflow):
        raise TypeError(
            f"@legacy({workflow!r}): that is no microworkflow. Import the function that @microworkflow declares, and name "
            "it here."
        )

    def register(function: Callable[[Any], Emitted]) -> Callable[[Any], Emitted]:
        if (other := _steps.get(workflow.label)) is not None and other.function is not function:
            raise ValueError(
                f"{workflow.label} has the legacy step {_name(other.function)} already; {_name(function)} would be "
                "a second one. Delete one of them."
            )
        _steps[workflow.label] = LegacyStep(
            workflow=workflow,
            function=function,
            observe=observe,
            noise=frozenset(noise),
            new_tables=frozenset(model._meta.db_table for model in new_tables),
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
    """Undo registrations made inside the block, for tests that register their own legacy steps."""
    before = dict(_steps)
    try:
        yield
    finally:
        _steps.clear()
        _steps.update(before)


def _name(function: Callable[..., Any]) -> str:
    plain = function.func if isinstance(function, functools.partial) else function
    return f"{plain.__module__}.{plain.__qualname__}"
