from microworkflows import microworkflow
from oscar.core.loading import get_model

from bookshop.sales.events import ParcelPacked


@microworkflow(on=ParcelPacked)
def note_parcel(event: ParcelPacked) -> None:
    order = get_model("order", "Order").objects.select_for_update().get(number=event.number)
    if order.status == "Pending":
        order.set_status("Packed")
