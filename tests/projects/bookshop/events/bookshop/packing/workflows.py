from microworkflows import microworkflow

from bookshop.packing.events import OrderPlaced, ParcelPacked
from bookshop.packing.models import Parcel


@microworkflow(on=OrderPlaced, emits=[ParcelPacked])
def pack(event: OrderPlaced) -> ParcelPacked:
    Parcel.objects.create(order_number=event.number, contents=event.copies)
    return ParcelPacked(number=event.number)
