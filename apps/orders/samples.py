"""The sample catalogue, as plain data."""

from decimal import Decimal
from typing import NamedTuple


class Sample(NamedTuple):
    """A product of the sample catalogue; prices are in EUR."""

    sku: str
    name: str
    price: Decimal


SAMPLES = (
    Sample("COFFEE-HOUSE-500", "House blend coffee beans, 500 g", Decimal("13.90")),
    Sample("CUP-RAKU-LTD", "Raku tea bowl, limited edition", Decimal("48.00")),
    Sample("CUP-TRAVEL-400", "Insulated travel cup, 400 ml", Decimal("24.50")),
    Sample("FILTER-PAPER-100", "Paper filters, pack of 100", Decimal("4.20")),
    Sample("GRINDER-HAND-30", "Hand grinder, 30 g", Decimal("59.00")),
    Sample("KETTLE-GOOSE-900", "Gooseneck kettle, 900 ml", Decimal("64.00")),
    Sample("MUG-STONE-350", "Stoneware mug, 350 ml", Decimal("14.50")),
    Sample("TEA-ASSAM-250", "Assam black tea, 250 g", Decimal("11.50")),
    Sample("TEA-SENCHA-100", "Sencha green tea, 100 g", Decimal("9.90")),
    Sample("TEAPOT-GLASS-1L", "Glass teapot, 1 l", Decimal("32.00")),
    Sample("TEAPOT-IRON-800", "Cast iron teapot, 800 ml", Decimal("79.00")),
)
