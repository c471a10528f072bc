"""System check: the setting PAYMENT_GATEWAY names something that can be a gateway."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import import_string

from payments.gateway import DEFAULT_GATEWAY


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
