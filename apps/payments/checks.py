"""System checks: PAYMENT_GATEWAY names something that can be a gateway, and PAY_WITHIN is a time."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import import_string

from payments.gateway import DEFAULT_GATEWAY
from payments.workflows import DEFAULT_PAY_WITHIN


@register("payments")
def payment_gateway(**kwargs: Any) -> list[CheckMessage]:
    """payments.E001: PAYMENT_GATEWAY cannot be imported, or lacks ``charge``, ``void`` or ``refund``."""
    path = getattr(settings, "PAYMENT_GATEWAY", DEFAULT_GATEWAY)
    try:
        gateway = import_string(path)
    except (ImportError, AttributeError, TypeError) as error:
        problem = f"cannot be imported: {error}"
    else:
        missing = [
            name for name in ("charge", "void", "refund") if not callable(getattr(gateway, name, None))
        ]
        if not missing:
            return []
        problem = f"has no {' and no '.join(missing)}"
    return [
        Error(
            f"PAYMENT_GATEWAY is {path!r}, which {problem}.",
            hint=f"Write the dotted path of a class like payments.gateway.PaymentGateway, such as {DEFAULT_GATEWAY!r}.",
            id="payments.E001",
        )
    ]


@register("payments")
def pay_within(**kwargs: Any) -> list[CheckMessage]:
    """payments.E002: PAY_WITHIN is no time that a payment could take."""
    window = getattr(settings, "PAY_WITHIN", DEFAULT_PAY_WITHIN)
    if isinstance(window, timedelta) and window > timedelta():
        return []
    return [
        Error(
            f"PAY_WITHIN is {window!r}, which is no length of time.",
            hint="Write a timedelta of more than no time: after it, an order that is not paid is cancelled.",
            id="payments.E002",
        )
    ]
