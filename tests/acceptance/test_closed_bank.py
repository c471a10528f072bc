"""Orders that nobody can charge, in the shop as four services, one of which is killed while its orders wait."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrations_guide.engine.shop import USER, Shop
from tests import servers
from tests.acceptance import services
from tests.acceptance.running import wait_until
from tests.acceptance.services import Services, ends

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.postgres,
    pytest.mark.rabbitmq,
    pytest.mark.chaos,
    pytest.mark.slow,
]

WAITING, PARKED = (f"SELECT count(*) FROM received WHERE status = {status}" for status in (1, -1))


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    """Return the folder of a bank that is closed."""
    (tmp_path / "closed").touch()
    return tmp_path


@pytest.fixture
def four(bank: Path) -> Iterator[Services]:
    """Yield the four services, prepared; nothing runs yet."""
    folder = servers.SCRATCH / "closed_bank"
    folder.mkdir()
    payments = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.closed_bank.settings", "BANK": str(bank)}
    with services.prepared(folder, more={"payments": payments}) as running:
        yield running


def test_orders_expire_that_cannot_be_charged_and_those_that_follow_are_paid(
    four: Services, bank: Path
) -> None:
    four.run("orders", f"python manage.py createsuperuser --noinput --username={USER} --email=")
    shop = Shop({"orders": four.start_web("orders")})
    four.start_workers()
    early = [shop.place(pays="tok_visa", lines={"TEA-SENCHA-100": 1}) for _ in range(3)]
    wait_until("each waits for its payment", lambda: timers(four) == len(early), seconds=20)

    four.kill_worker("payments")
    assert {shop.state(order) for order in early} == {"Accepted"}
    four.start_worker("payments")

    for order in early:
        ends(shop, order, "Cancelled: payment declined", seconds=60)
    (bank / "closed").unlink()
    four.run("payments", "python manage.py resume payments.take_payment", codes=(0, 1))  # if it is paused
    late = shop.place(pays="tok_visa", lines={"TEA-SENCHA-100": 1})
    ends(shop, late, "Shipped", seconds=60)

    wait_until(
        "nothing waits any more",
        lambda: four.ask("payments", WAITING) == [(0,)],
        seconds=90,
    )
    assert {shop.state(order) for order in early} == {"Cancelled: payment declined"}
    charged, voided = ((bank / name).read_text().split() for name in ("charged", "voided"))
    assert (len(charged), len(set(voided))) == (1, len(early))
    assert not {*charged} & {*voided}
    assert all(four.ask(name, PARKED) == [(0,)] for name in four.databases)


def timers(four: Services) -> int:
    rows = four.ask("payments", "SELECT 1 FROM published WHERE destination = 'payments.payment_overdue.v1'")
    return len(rows)
