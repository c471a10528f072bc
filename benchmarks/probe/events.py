"""What is recorded, relayed and handled for measuring: one event of about 300 bytes, in four contexts."""

from microworkflows import DomainEvent

_FILLER = "x" * 230


class Measured(DomainEvent, type="probe.measured.v1"):
    """Bears a number, a marker by which it is found in a body, and what fills it to 300 bytes."""

    number: int
    marker: str
    filler: str


class Measured2(Measured, type="probe2.measured.v1"):
    """The same of a second context."""


class Measured3(Measured, type="probe3.measured.v1"):
    """The same of a third context."""


class Measured4(Measured, type="probe4.measured.v1"):
    """The same of a fourth context."""


class Noted(DomainEvent, type="probe.noted.v1"):
    """What the measured step emits."""

    number: int


OF_CONTEXT: dict[str, type[Measured]] = {
    event.event_type.partition(".")[0]: event for event in (Measured, Measured2, Measured3, Measured4)
}
"""The measured event of each context."""


def measured(number: int, *, context: str = "probe") -> Measured:
    """Return the event with this number."""
    return OF_CONTEXT[context](number=number, marker=f"m{number:09d}m", filler=_FILLER)
