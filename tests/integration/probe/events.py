"""What the context ``probe`` announces; it listens to its own ``Asked``."""

from microworkflows import DomainEvent


class Asked(DomainEvent, type="probe.asked.v1"):
    """Heard by probe and by echo; the payload says how the handler is to behave."""

    number: int
    behaviour: str = "ok"
    file: str = ""
    times: int = 0
    recorder: str = ""
    padding: str = ""


class Noted(DomainEvent, type="probe.noted.v1"):
    """Heard by echo alone."""

    number: int


class Whispered(DomainEvent, type="probe.whispered.v1"):
    """Heard by nobody."""

    number: int


class Answered(DomainEvent, type="probe.answered.v1"):
    """What the handler of Asked emits when it is told to; heard by echo."""

    number: int
