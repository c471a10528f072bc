"""Which carrier takes a parcel, and the tracking number it travels under."""

from shipping.models import Shipment

HOME = "DE"
"""Where the warehouse is (ISO 3166-1 alpha-2)."""

_BY_ROAD = frozenset({"AT", "BE", "CH", "DK", "ES", "FR", "IT", "NL"})
_WEIGHTS = (8, 6, 4, 2, 3, 5, 9, 7)


def choose(*, country: str) -> Shipment.Carrier:
    """Return the carrier for a country (ISO 3166-1 alpha-2): home, by road, or by air."""
    if country == HOME:
        return Shipment.Carrier.LANDPOST
    if country in _BY_ROAD:
        return Shipment.Carrier.CONTIPARCEL
    return Shipment.Carrier.BLUE_GLOBE


def tracking_number(*, serial: int) -> str:
    """Return the tracking number of parcel ``serial`` in the form of UPU standard S10, such as ``CP000000013DE``.

    Two letters, eight digits, their check digit, and the country it is sent from. After 99,999,999 parcels the
    letters go on from CP to CQ and so forth, up to CZ.

    Raises:
        ValueError: ``serial`` is below 0, or there are no letters left for it.
    """
    series, number = divmod(serial, 100_000_000)
    if not 0 <= series <= ord("Z") - ord("P"):
        raise ValueError(f"There is no tracking number for parcel {serial}: the series CP to CZ are used up.")
    digits = f"{number:08d}"
    return f"C{chr(ord('P') + series)}{digits}{_check_digit(digits)}{HOME}"


def _check_digit(digits: str) -> int:
    rest = 11 - sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, digits, strict=True)) % 11
    return {10: 0, 11: 5}.get(rest, rest)
