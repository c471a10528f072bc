"""Two sides in two databases, of two kinds on PostgreSQL's runs, are compared, and their inboxes are both looked at."""

import pytest

from tests.integration.bridging.shop import Shop

pytestmark = pytest.mark.slow

SCRIPT = """
from datetime import datetime, timedelta, UTC
from django.db import transaction
from microworkflows import DomainEvent, IncomingEvent, microworkflow, outbox
from microworkflows.bridging import Comparison
from microworkflows.models import Header, InboxEvent, OutboxEvent

call_command("makemigrations", "customers", "orders", verbosity=0)
for alias in ("default", "there"):
    call_command("migrate", database=alias, verbosity=0)
for alias, most in (("default", 2503), ("there", 2501)):
    Customer.objects.using(alias).bulk_create(Customer(id=each, name=f"C{each}") for each in range(1, most))
Customer.objects.using("there").filter(id=1200).update(name="Other")
Customer.objects.using("there").create(id=9000, name="New")

import sys
sys.modules["__main__"].both = Comparison(
    left=Customer.objects.using("default").values("id", "name"),
    right=Customer.objects.using("there").values("id", "name"),
    key="id",
)
print(raises(CommandError, lambda: call_command("reconcile", "__main__.both", settle=0.01)))

class OrderPlaced(DomainEvent, type="orders.order_placed.v1"):
    number: int

class Read(IncomingEvent, type="orders.order_placed.v1"):
    number: int

@microworkflow(on=Read, context="customers")
def note(event):
    pass

with transaction.atomic():
    ids = [outbox.record(OrderPlaced(number=each)).id for each in range(1503)]
OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)

def received(event_id):
    now = datetime.now(UTC)
    return InboxEvent(msg_id=f"customers.note:{event_id}", body={}, headers={Header.TYPE: Read.event_type, Header.CORRELATION_ID: "1"}, added=now, expires_at=now, retry=0, status=InboxEvent.Status.HANDLED)

InboxEvent.objects.using("there").bulk_create(map(received, ids[:1400]))
InboxEvent.objects.using("default").bulk_create(map(received, ids[1400:1500]))
print(raises(CommandError, lambda: call_command("reconcile", context="customers", database="there", minutes=0)))
"""


def test_rows_and_receipts_of_two_databases_are_compared_in_batches(monolith: Shop) -> None:
    monolith.databases["there"] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(monolith.folder / "there.sqlite3"),
    }

    told = monolith.run(SCRIPT)

    here, there = "customers.Customer in default", "customers.Customer in there"
    assert f"{here} and {there}, 2,503 keys, 4 differences" in told
    assert f"2  only {here}: 2501, 2502" in told or f"2  only {here}: 2502, 2501" in told
    assert f"1  only {there}: 9000" in told
    assert "1  name: 1200" in told
    assert "customers: 1,500 deliveries received, 3 missing, 0 not relayed yet, in 3 flows" in told
