"""The shop as it is while parts of it are cut over: nobody waits for a payment yet, as in the guide's stages before the last."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import AppConfig

from microworkflows import registry

_LATER = {"payments.await_payment", "payments.give_up_payment"}
_ANNOUNCED_LATER = "payments.payment_overdue.v1"


class EarlierShopConfig(AppConfig):
    """Makes the shop of a process the earlier one; it comes after the apps that declare microworkflows."""

    name = "tests"
    label = "earlier_shop"

    def ready(self) -> None:
        """Forget what comes later."""
        _forget()


@contextmanager
def earlier_shop() -> Iterator[None]:
    """Make the shop of this process the earlier one in the block."""
    with registry.isolated():
        _forget()
        yield


def _forget() -> None:
    registry._workflows[:] = [each for each in registry.workflows() if each.label not in _LATER]
    registry._announcements[:] = [
        each for each in registry.announcements() if each.event_type != _ANNOUNCED_LATER
    ]
    registry._listening.clear()
