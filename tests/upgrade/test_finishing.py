"""What an earlier version left behind is finished by today's code: each order once, alone or beside an old worker."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest
from pytest_django import Settings

from microworkflows.cutover.models import ModeChange, ShadowComparison
from microworkflows.models import InboxEvent
from orders.models import Order
from tests.upgrade import hasty
from tests.upgrade import settings as monolith
from tests.upgrade.conftest import Restore
from tests.upgrade.frozen import CONTEXTS, VERSIONS, unpack_code
from tests.upgrade.running import PATIENCE_SECONDS

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.parametrize("version", VERSIONS)]


def test_new_code_finishes_what_was_left_in_files(version: str, restore_files: Restore) -> None:
    left = restore_files(version, "shop", settings=hasty.__name__)

    left.finish(by=left.worker(), ends=left.expected["ends"])


@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_new_code_finishes_what_was_left_on_servers(version: str, restore_servers: Restore) -> None:
    left = restore_servers(version, "shop", settings=hasty.__name__)

    left.finish(by=left.worker(), ends=left.expected["ends"])


@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_old_worker_and_new_worker_work_side_by_side(
    version: str, restore_servers: Restore, tmp_path: Path
) -> None:
    left = restore_servers(version, "shop")
    old_code, end = unpack_code(version, tmp_path / "old"), tmp_path / "end"
    old, new = left.shop.worker(CONTEXTS, code=old_code), left.worker()
    customers = [
        left.shop.customer("old", end=end, code=old_code),
        left.shop.customer("new", end=end),
    ]

    for worker in (old, new):
        worker.says(" handled ", times=10, timeout=PATIENCE_SECONDS)
    assert old.stop(timeout=PATIENCE_SECONDS) == 0, old.output
    end.touch()
    assert [customer.wait(timeout=PATIENCE_SECONDS) for customer in customers] == [0, 0], [
        one.output for one in customers
    ]

    placed = Order.objects.filter(customer_name__contains=": ").values_list("customer_name", flat=True)
    ends = {name: name.partition(": ")[2] for name in placed}
    assert {name.partition(" ")[0] for name in placed} == {"old", "new"}
    left.finish(by=new, ends={**left.expected["ends"], **ends})


@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_flows_that_are_cut_over_are_finished_as_they_were_stamped(
    version: str, restore_servers: Restore, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = monolith.MICROWORKFLOWS
    left = restore_servers(version, "monolith", settings=monolith.__name__)
    changes, compared = list(ModeChange.objects.values_list()), _comparisons()

    left.finish(by=left.worker(), ends=left.expected["ends"])

    stages = {str(pk): name for pk, name in Order.objects.values_list("pk", "customer_name")}
    modes = defaultdict(set)
    for row in InboxEvent.objects.all():
        modes[stages[row.correlation_id].partition(",")[0], row.context].add(row.headers.get("mode", "live"))
    assert modes == {
        **{("inline", context): {"inline"} for context in CONTEXTS},
        **{("payments live", context): {"inline"} for context in CONTEXTS},
        ("payments live", "payments"): {"live"},
        **{("payments in shadow", context): {"inline"} for context in CONTEXTS},
        ("payments in shadow", "payments"): {"shadow"},
        ("payments in shadow", "inventory"): {"live"},
        **{("live", context): {"live"} for context in CONTEXTS},
    }
    assert _comparisons() - compared == {("payments.refund_payment", "agreed"): 1}
    assert compared - _comparisons() == {}
    assert list(ModeChange.objects.values_list()) == changes


def _comparisons() -> Counter[tuple[str, str]]:
    return Counter(ShadowComparison.objects.values_list("workflow", "outcome"))
