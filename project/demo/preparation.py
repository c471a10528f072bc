"""Makes the database a shop: tables, catalogue, stock and an administrator. What is there already is kept."""

from dataclasses import dataclass
from io import StringIO

from django.contrib.auth import get_user_model
from django.core.management import call_command

from orders.models import Order
from project.demo.preconditions import ADMIN, check_schema

_PASSWORD = "admin"


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What the demo found or made."""

    user: str
    password: str | None
    """None when somebody has changed it."""
    earlier_orders: int


def open_shop() -> Shop:
    """Migrate, fill the catalogue and see to the administrator, whose password is never changed.

    Raises:
        NotStartedError: the tables are another version's.
    """
    call_command("migrate", interactive=False, verbosity=0)
    check_schema()
    call_command("seed_catalogue", verbosity=0, stdout=StringIO())
    return Shop(user=ADMIN, password=_see_to_admin(), earlier_orders=Order.objects.count())


def fill_shelves() -> None:
    """Bring the stock to what the demo's orders count on."""
    call_command("seed_stock", verbosity=0, stdout=StringIO())


def _see_to_admin() -> str | None:
    users = get_user_model()
    user = users._default_manager.filter(username=ADMIN).first()
    if user is None:
        users._default_manager.create_superuser(username=ADMIN, password=_PASSWORD)
        return _PASSWORD
    return _PASSWORD if user.check_password(_PASSWORD) else None
