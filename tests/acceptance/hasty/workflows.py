"""A deadline that passes while somebody watches: parcels leave within seconds."""

from datetime import timedelta

from microworkflows import deadline
from orders.events import OrderAccepted, ShipmentScheduled

WITHIN = timedelta(seconds=12)

deadline(ShipmentScheduled, within=WITHIN, of=OrderAccepted)
