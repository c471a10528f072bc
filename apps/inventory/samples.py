"""The sample stock, as plain data."""

from typing import NamedTuple


class Sample(NamedTuple):
    """How many pieces can be promised after seeding: at least so many, or exactly."""

    sku: str
    available: int
    exactly: bool = False


SAMPLES = (
    Sample("COFFEE-HOUSE-500", 60),
    Sample("CUP-RAKU-LTD", 0, exactly=True),
    Sample("CUP-TRAVEL-400", 25),
    Sample("FILTER-PAPER-100", 200),
    Sample("GRINDER-HAND-30", 12),
    Sample("KETTLE-GOOSE-900", 15),
    Sample("MUG-STONE-350", 80),
    Sample("TEA-ASSAM-250", 50),
    Sample("TEA-SENCHA-100", 40),
    Sample("TEAPOT-GLASS-1L", 18),
    Sample("TEAPOT-IRON-800", 1, exactly=True),
)
