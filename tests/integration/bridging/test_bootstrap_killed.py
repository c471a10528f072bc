"""A bootstrap is killed (SIGKILL) in the middle of a batch; the same command goes on, and each row is recorded once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from microworkflows.bridging.models import Bootstrapped
from microworkflows.models import OutboxEvent
from tests.integration.bridging import old_orders
from tests.integration.support.processes import Launcher, Process
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

COMMAND = (
    *("bootstrap", "orders.order_accepted.v1", "--from", "tests.integration.bridging.old_orders.accepted"),
    *("--only-for", "reports"),
)


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Yield what starts the command as a process."""
    launcher = Launcher(tmp_path, database=database_url, broker=f"embedded://{tmp_path / 'broker'}")
    settings = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    yield lambda *arguments: launcher.manage(*COMMAND, *arguments, environment=settings)
    launcher.end()


def test_run_that_is_killed_loses_no_row_and_records_none_twice(
    start: Callable[..., Process], database_url: str
) -> None:
    killed = start("--rate", "100")
    eventually(lambda: Bootstrapped.objects.count() >= 100, what="the first batch")

    with psycopg.connect(database_url) as other:
        # The second batch has its marks, and waits with its events.
        other.execute("LOCK TABLE published IN SHARE MODE")
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'published'::regclass"
        eventually(lambda: other.execute(waits).fetchone() == (1,), what="the batch to wait for the lock")
        killed.kill()
        killed.wait()
    recorded = OutboxEvent.objects.count()
    assert 100 <= recorded < old_orders.NUMBER
    assert Bootstrapped.objects.count() == recorded

    assert start().wait() == 0

    rows = list(OutboxEvent.objects.order_by("pk").values_list("body__data__number", flat=True))
    assert rows == [f"A-{number:06d}" for number in range(1, old_orders.NUMBER + 1)]
