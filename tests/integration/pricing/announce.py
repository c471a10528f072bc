"""``python -m tests.integration.pricing.announce FIRST COUNT``: announce prices as the code of this process does."""

import sys

import django

if __name__ == "__main__":
    django.setup()

    from django.db import transaction

    from microworkflows import DomainEvent, outbox
    from tests.integration.pricing import events

    first, count = map(int, sys.argv[1:])
    for number in range(first, first + count):
        event: DomainEvent = (
            events.PricedV2(number=number, net=10, tax=2)
            if events.ANNOUNCER > 1
            else events.Priced(number=number, total=12)
        )
        with transaction.atomic():
            outbox.record(event)
