"""A bank that answers no charge while it is closed, and writes down what it does: in the folder ``BANK`` of the environment."""

import os
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from payments.gateway import Approved, Declined, GatewayAwayError
from payments.sandbox import SandboxGateway


class Bank(SandboxGateway):
    """The sandbox behind a door: closed if the folder holds a file of that name."""

    def charge(
        self, *, idempotency_key: UUID, amount: Decimal, currency: str, token: str
    ) -> Approved | Declined:
        if (self._folder / "closed").exists():
            raise GatewayAwayError("The bank is closed.")
        self._note("charged", idempotency_key)
        return super().charge(idempotency_key=idempotency_key, amount=amount, currency=currency, token=token)

    def void(self, *, idempotency_key: UUID) -> None:
        self._note("voided", idempotency_key)

    @property
    def _folder(self) -> Path:
        return Path(os.environ["BANK"])

    def _note(self, what: str, key: UUID) -> None:
        with (self._folder / what).open("a") as ledger:
            ledger.write(f"{key}\n")
