"""The warehouse's books: right in whatever order the events come."""

from django.db.models import F
from microworkflows import microworkflow

from warehouse.events import LineCancelled, LineShipped, LineSold
from warehouse.models import Allocation


@microworkflow(on=LineSold)
def allocate(event):
    of_line(event)


@microworkflow(on=LineShipped)
def ship(event):
    of_line(event).update(shipped=F("shipped") + event.shipped)


@microworkflow(on=LineCancelled)
def release(event):
    """Leave a tombstone where the sale has not been heard of yet: it will find the line cancelled."""
    of_line(event).update(cancelled=True)


def of_line(event):
    Allocation.objects.get_or_create(
        line_id=event.line_id, defaults={"sku": event.sku, "quantity": event.quantity}
    )
    return Allocation.objects.filter(line_id=event.line_id)
