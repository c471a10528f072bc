"""The port to the payment provider: what payments asks of it, and which one the settings choose.

A gateway is called inside the transaction that keeps its answer, so it answers within a few seconds or raises
:class:`GatewayUnavailableError`; whoever called it tries again later with the same idempotency key, and a provider
that had taken the money after all answers with that same charge.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string

DEFAULT_GATEWAY = "payments.sandbox.SandboxGateway"


class GatewayUnavailableError(Exception):
    """The provider did not answer in time, so nothing is known yet: ask again with the same idempotency key."""


class GatewayAwayError(GatewayUnavailableError):
    """The provider cannot be reached, so nobody's payment gets an answer."""


@dataclass(frozen=True, kw_only=True)
class Approved:
    """The money was moved."""

    reference: str
    """The provider's name for it, at most 60 characters."""


@dataclass(frozen=True, kw_only=True)
class Declined:
    """The money will not be moved, and asking again does not change that."""

    reason: str
    """For the customer to read, at most 200 characters."""


class PaymentGateway(Protocol):
    """A payment provider. The same idempotency key always gets the same answer, and moves money once."""

    def charge(
        self, *, idempotency_key: UUID, amount: Decimal, currency: str, token: str
    ) -> Approved | Declined:
        """Collect ``amount`` from what ``token`` stands for.

        Raises:
            GatewayUnavailableError: no answer yet.
        """
        ...

    def void(self, *, idempotency_key: UUID) -> None:
        """See to it that the charge with this key keeps no money, whether it comes, came or never was.

        Raises:
            GatewayUnavailableError: no answer yet.
        """
        ...

    def refund(self, *, idempotency_key: UUID, reference: str, amount: Decimal, currency: str) -> Approved:
        """Give ``amount`` of the charge ``reference`` back.

        Raises:
            GatewayUnavailableError: no answer yet.
        """
        ...


def configured() -> PaymentGateway:
    """Return the gateway that the setting ``PAYMENT_GATEWAY`` names (dotted path; the sandbox by default).

    Raises:
        ImportError: there is nothing at that path.
    """
    gateway: PaymentGateway = import_string(getattr(settings, "PAYMENT_GATEWAY", DEFAULT_GATEWAY))()
    return gateway
