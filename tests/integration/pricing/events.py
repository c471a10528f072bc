"""What ``pricing`` announces and ``billing`` reads, each by the code of a process: old, new, or newest.

``PRICING`` is 1 for an announcer of the first version, 2 for one of both. ``BILLING`` is 1 for a listener to the first version, 2
for one to both, 3 for one to the second alone, 0 for none.
"""

from django.conf import settings

from microworkflows import DomainEvent, IncomingEvent

ANNOUNCER: int = getattr(settings, "PRICING", 1)
LISTENER: int = getattr(settings, "BILLING", 0)


class Priced(DomainEvent, type="pricing.priced.v1"):
    number: int
    total: int


if ANNOUNCER > 1:

    class PricedV2(DomainEvent, type="pricing.priced.v2", previous=Priced):
        number: int
        net: int
        tax: int

        def to_previous(self) -> Priced:
            return Priced(number=self.number, total=self.net + self.tax)


class BilledPrice(IncomingEvent, type="pricing.priced.v1"):
    number: int
    total: int


class BilledPriceV2(IncomingEvent, type="pricing.priced.v2", previous=BilledPrice):
    number: int
    net: int
    tax: int

    @classmethod
    def from_previous(cls, previous: BilledPrice) -> "BilledPriceV2":
        return cls(number=previous.number, net=previous.total, tax=0)
