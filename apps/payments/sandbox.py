"""The sandbox payment provider: moves no money, stores nothing, and answers by the payment token alone.

=========================  ==========================================================================
``tok_visa``               approved
``tok_declined``           declined: "card declined"
``tok_insufficient_funds`` declined: "insufficient funds"
``tok_slow_bank``          no answer (GatewayUnavailableError) until the idempotency key, a UUIDv7, is
                           3 seconds old; then approved. It shows how a microworkflow is retried.
anything else              declined: "unknown payment token"
=========================  ==========================================================================

Refunds are always approved, and so are voids. References are made from the idempotency key, so the same key gets the same one.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import NAMESPACE_URL, UUID, uuid5

from django.utils import timezone

from microworkflows import ids
from payments.gateway import Approved, Declined, GatewayUnavailableError

SLOW_BANK_DELAY = timedelta(seconds=3)

_DECLINES = {
    "tok_declined": "card declined",
    "tok_insufficient_funds": "insufficient funds",
}


class SandboxGateway:
    """A payment gateway for demonstrations and tests."""

    def __init__(self, *, clock: Callable[[], datetime] = timezone.now) -> None:
        self._clock = clock

    def charge(
        self, *, idempotency_key: UUID, amount: Decimal, currency: str, token: str
    ) -> Approved | Declined:
        """Answer as the table at the top of this module says.

        Raises:
            GatewayUnavailableError: the slow bank needs more time.
            ValueError: the slow bank was asked with a key that is no UUIDv7.
        """
        if token in _DECLINES:
            return Declined(reason=_DECLINES[token])
        if token == "tok_slow_bank":
            self._wait_for_the_slow_bank(idempotency_key)
        elif token != "tok_visa":
            return Declined(reason="unknown payment token")
        return Approved(reference=_reference("pay", idempotency_key))

    def void(self, *, idempotency_key: UUID) -> None:
        """Do nothing, since no money moves."""

    def refund(self, *, idempotency_key: UUID, reference: str, amount: Decimal, currency: str) -> Approved:
        """Approve the refund."""
        return Approved(reference=_reference("refund", idempotency_key))

    def _wait_for_the_slow_bank(self, idempotency_key: UUID) -> None:
        age = self._clock() - ids.timestamp(idempotency_key)
        if age < SLOW_BANK_DELAY:
            raise GatewayUnavailableError(
                f"The slow bank has not answered yet: it needs {SLOW_BANK_DELAY.total_seconds():.0f} seconds and had "
                f"{max(age.total_seconds(), 0):.1f}. Ask again with the same idempotency key."
            )


def _reference(kind: str, idempotency_key: UUID) -> str:
    return f"sandbox_{kind}_{uuid5(NAMESPACE_URL, f'{kind}:{idempotency_key}').hex[:20]}"
