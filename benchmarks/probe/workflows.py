"""The measured step as a microworkflow; the other contexts' events have a queue and nobody who handles them."""

from benchmarks.probe import operations
from benchmarks.probe.events import Measured, Measured2, Measured3, Measured4, Noted
from microworkflows import microworkflow


@microworkflow(on=Measured, emits=[Noted], context="probe")
def measure(event: Measured) -> Noted:
    """Write and announce."""
    operations.write(number=event.number, marker=event.marker)
    return Noted(number=event.number)


@microworkflow(on=Measured2, context="probe2")
def measure2(event: Measured2) -> None:
    """Bind a queue."""


@microworkflow(on=Noted, context="probe2")
def note(event: Noted) -> None:
    """Bind a queue to what the measured step emits, so that it is not unheard."""


@microworkflow(on=Measured3, context="probe3")
def measure3(event: Measured3) -> None:
    """Bind a queue."""


@microworkflow(on=Measured4, context="probe4")
def measure4(event: Measured4) -> None:
    """Bind a queue."""
