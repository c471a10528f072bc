"""The sandbox gateway, which takes its time, as a provider across the network does."""

import time
from decimal import Decimal
from uuid import UUID

from payments.gateway import Approved, Declined
from payments.sandbox import SandboxGateway

SECONDS = 0.05


class PatientGateway(SandboxGateway):
    """Answers as the sandbox does, but later."""

    def charge(
        self, *, idempotency_key: UUID, amount: Decimal, currency: str, token: str
    ) -> Approved | Declined:
        """Answer after a while."""
        time.sleep(SECONDS)
        return super().charge(idempotency_key=idempotency_key, amount=amount, currency=currency, token=token)
