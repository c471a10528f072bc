"""Variants: the ways that flows really went, mined from the journal's rows.

A way is a set of steps: who took which event and emitted what. What follows from what is in the steps themselves, so neither the times
of a flow nor the order of its rows count; nor does how often a step was repeated: an order of three lines goes the way of one of two.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple

from microworkflows.journal.models import Delivery, Event

VARIANT_LENGTH = 16


class Step(NamedTuple):
    """One step of a way."""

    type: str
    """Type of the event that was taken; empty: the flow begins."""
    consumer: str
    """Label of who took it; empty where that is nobody, or unknown."""
    emitted: str
    """Type of an event that followed; empty if none did."""
    dismissed: bool = False
    """True if somebody gave the message up."""


Way = frozenset[Step]


def way(events: Iterable[Event], deliveries: Iterable[Delivery]) -> Way:
    """Return the way of a flow, from all its events and deliveries, in any order.

    An event without a known cause in the flow begins it. A delivery counts once it was handled or dismissed.
    """
    types = {event.pk: event for event in events}
    by_cause = {str(pk): event.type for pk, event in types.items()}
    ended = [
        each for each in deliveries if each.status in {Delivery.Status.HANDLED, Delivery.Status.DISMISSED}
    ]
    told = {emitted: each for each in ended for emitted in each.emitted}
    steps, fruitful = set(), set()
    for pk, event in types.items():
        source = told.get(str(pk))
        cause = str(source.event_id) if source else event.causation_id
        consumer = source.consumer if source else event.emitted_by
        cause_type = by_cause.get(cause, "")
        steps.add(Step(cause_type, consumer if cause_type else "", event.type))
        fruitful.add((cause, consumer))
    for each in ended:
        if (str(each.event_id), each.consumer) not in fruitful and each.event_id in types:
            dismissed = each.status == Delivery.Status.DISMISSED
            steps.add(Step(types[each.event_id].type, each.consumer, "", dismissed))
    return frozenset(steps)


def variant(events: Iterable[Event], deliveries: Iterable[Delivery]) -> str:
    """Return the name of a flow's way, for :attr:`Flow.variant`: the same for flows that went the same way."""
    return name(way(events, deliveries))


def name(steps: Way) -> str:
    """Return the name of a way: sixteen hexadecimal digits of a hash of it."""
    text = json.dumps(sorted(steps), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:VARIANT_LENGTH]
