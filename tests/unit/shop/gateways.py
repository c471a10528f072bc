"""Payment gateways for tests, to be named by the setting PAYMENT_GATEWAY."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar, NoReturn
from uuid import UUID

from django.utils import timezone

from payments.gateway import Approved, Declined, GatewayAwayError
from payments.sandbox import SandboxGateway


class TenSecondsLater(SandboxGateway):
    """The sandbox as it answers when ten seconds have passed."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: timezone.now() + timedelta(seconds=10))


class Ledger(SandboxGateway):
    """The sandbox, keeping the keys that it was asked with."""

    charges: ClassVar[list[UUID]] = []
    voids: ClassVar[list[UUID]] = []
    refunds: ClassVar[list[UUID]] = []

    def charge(
        self, *, idempotency_key: UUID, amount: Decimal, currency: str, token: str
    ) -> Approved | Declined:
        self.charges.append(idempotency_key)
        return super().charge(idempotency_key=idempotency_key, amount=amount, currency=currency, token=token)

    def void(self, *, idempotency_key: UUID) -> None:
        self.voids.append(idempotency_key)

    def refund(self, *, idempotency_key: UUID, reference: str, amount: Decimal, currency: str) -> Approved:
        self.refunds.append(idempotency_key)
        return super().refund(
            idempotency_key=idempotency_key, reference=reference, amount=amount, currency=currency
        )


class Away:
    """A provider that nobody reaches."""

    def charge(self, **asked: Any) -> NoReturn:
        raise GatewayAwayError("Nobody answers.")

    void = refund = charge
