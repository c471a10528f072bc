"""The sandbox payment provider: moves no money, stores nothing, and answers by the payment token alone.

=========================  ==========================================================
``tok_visa``               approved
``tok_declined``           declined: "card declined"
``tok_insufficient_funds`` declined: "insufficient funds"
``tok_slow_bank``          approved, after 3 seconds in which whoever asked has to wait
anything else              declined: "unknown payment token"
=========================  ==========================================================

Refunds are always approved. References are made from the idempotency key, so the same key gets the same one.
"""

import time
from decimal import Decimal
from uuid import NAMESPACE_URL, UUID, uuid5

from payments.gateway import Approved, Declined

SLOW_BANK_SECONDS = 3

_DECLINES = {
    "tok_declined": "card declined",
    "tok_insufficient_funds": "insufficient funds",
}


class SandboxGateway:
    """A payment gateway for demonstrations and tests."""

    def charge(
        self, *, idempotency_key: UUID, amount: Decimal, currency: str, token: str
    ) -> Approved | Declined:
        """Answer as the table at the top of this module says."""
        if token in _DECLINES:
            return Declined(reason=_DECLINES[token])
        if token == "tok_slow_bank":
            time.sleep(SLOW_BANK_SECONDS)
        elif token != "tok_visa":
            return Declined(reason="unknown payment token")
        return Approved(reference=_reference("pay", idempotency_key))

    def refund(self, *, idempotency_key: UUID, reference: str, amount: Decimal, currency: str) -> Approved:
        """Approve the refund."""
        return Approved(reference=_reference("refund", idempotency_key))


def _reference(kind: str, idempotency_key: UUID) -> str:
    return f"sandbox_{kind}_{uuid5(NAMESPACE_URL, f'{kind}:{idempotency_key}').hex[:20]}"
