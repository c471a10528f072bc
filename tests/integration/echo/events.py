"""The context ``echo``: its own readings of what ``probe`` announces."""

from microworkflows import IncomingEvent


class Asked(IncomingEvent, type="probe.asked.v1"):
    number: int


class Noted(IncomingEvent, type="probe.noted.v1"):
    number: int


class Answered(IncomingEvent, type="probe.answered.v1"):
    number: int
