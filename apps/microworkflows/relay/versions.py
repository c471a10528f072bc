"""Versions of one fact at the broker: whoever hears one has the fact, so a version without a queue is unheard only if all are."""

import json
from collections import Counter

from microworkflows.cloudevents import FACT, fact_of, versions_of
from microworkflows.models import OutboxEvent
from microworkflows.relay.publisher import Batch

_IN_VERSIONS = f'"{FACT}"'


def settle(batch: Batch) -> None:
    """Take versions that no queue is bound to for confirmed where another one of their fact was, in this batch or before.

    One that was marked as unheard before the other left is marked as relayed.
    """
    outcome = batch.outcome
    bodies = {each.id: json.loads(each.body) for each in batch.messages if _IN_VERSIONS in each.body}
    bodies = {key: body for key, body in bodies.items() if body.get(FACT)}
    if not bodies:
        return
    heard = {fact_of(bodies[each]) for each in outcome.confirmed if each in bodies}
    here = Counter(fact_of(body) for body in bodies.values())
    elsewhere = {
        fact_of(body): str(body["correlationid"])
        for body in bodies.values()
        if here[fact_of(body)] < len(versions_of(body))
    }
    if elsewhere:
        others = OutboxEvent.objects.of_flow(*elsewhere.values()).order_by()
        others = others.filter(**{f"body__{FACT}__in": list(elsewhere)})
        relayed = others.filter(status=OutboxEvent.Status.RELAYED)
        heard |= set(relayed.values_list(f"body__{FACT}", flat=True))
        found = [fact for fact in elsewhere if fact in heard]
        unheard = others.filter(status=OutboxEvent.Status.UNHEARD, **{f"body__{FACT}__in": found})
        unheard.update(status=OutboxEvent.Status.RELAYED)
    of_heard = [each for each in outcome.unheard if each in bodies and fact_of(bodies[each]) in heard]
    outcome.confirmed += of_heard
    outcome.unheard = [each for each in outcome.unheard if each not in of_heard]
