"""Microworkflows of partner_events."""

from microworkflows import microworkflow
from oscar.core.loading import get_model

from partner_events.events import LinePlaced


@microworkflow(on=LinePlaced)
def update_stock_records(event: LinePlaced) -> None:
    """Allocate the pieces."""
    get_model("partner", "StockRecord").objects.get(pk=event.stockrecord_id).allocate(event.quantity)
