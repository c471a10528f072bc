"""The shop in the database of this process: orders are placed, taken through, and looked at."""

import io
import itertools
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from microworkflows.cutover.models import ContextMode, ContextMove
from microworkflows.cutover.splitting.move import STEPS
from microworkflows.cutover.splitting.steps import MoveStep
from microworkflows.cutover.splitting.underway import Underway
from microworkflows.models import HistoryEntry, InboxEvent, OutboxEvent
from microworkflows.testing import Flow
from orders import operations
from orders.models import Country, Order, PaymentToken

CONTEXTS = ["orders", "payments", "inventory", "shipping"]
UNPROVEN = "the move itself is tested"
"""Why contexts are moved here without a proof that they are apart from the others; test_gate.py tests that."""
PAUSE_SECONDS = 0.1
"""Between two orders: always some are on their way, and the processor is free for what is done meanwhile."""


def fill() -> None:
    """Let the shop have worked for a while, with everything live: shipped, declined, out of stock."""
    call_command("seed_catalogue", verbosity=0, stdout=io.StringIO())
    call_command("seed_stock", verbosity=0, stdout=io.StringIO())
    for context in CONTEXTS:
        go(context, "live", 100)
    for sku, pays in (("MUG-STONE-350", "VISA"), ("MUG-STONE-350", "DECLINED"), ("CUP-RAKU-LTD", "VISA")):
        place(sku, pays=PaymentToken[pays])
    Flow().run()


def go(context: str, mode: str, percent: int | None = None) -> None:
    """Set the mode of a context."""
    row = {"mode": mode, "percent": percent, "changed_at": timezone.now()}
    ContextMode.objects.update_or_create(pk=context, defaults=row)


def place(sku: str = "MUG-STONE-350", *, pays: PaymentToken = PaymentToken.VISA) -> Order:
    """Place an order of one piece."""
    order = operations.create_order(
        customer_name="Harbour Café",
        street="Kai 4",
        postcode="20457",
        city="Hamburg",
        country=Country.DE,
        payment_token=pays,
        lines={sku: 1},
    )
    return operations.place_order(order=order)


def split(context: str = "payments", **options: Any) -> str:
    """Run the command in this process; return what it says."""
    out = io.StringIO()
    call_command("split_database", context, stdout=out, **{"unproven": UNPROVEN, **options})
    return out.getvalue()


def stop_before(step: str, *, to: str) -> None:
    """Run the command and interrupt it where a step begins."""

    def interrupted(move: Underway) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STEPS, MoveStep(step), interrupted)
        with pytest.raises(CommandError, match="Interrupted"):
            split(to=to)


def relayed() -> None:
    """Do as if a relay had brought everything to the broker."""
    OutboxEvent.objects.pending().update(status=OutboxEvent.Status.RELAYED)


def kept(context: str = "payments") -> dict[str, Any]:
    """Return all rows that a context has in the database of this process, as text, by table."""
    tables = [name for name in connection.introspection.table_names() if name.startswith(f"{context}_")]
    found = {name: texts(f'SELECT t::text FROM "{name}" AS t ORDER BY 1') for name in sorted(tables)}
    found["inbox"] = sorted(InboxEvent.objects.of_context(context).values_list("msg_id", "status", "retry"))
    history = HistoryEntry.objects.filter(msg_id__startswith=f"{context}.").order_by("pk")
    found["history"] = [f"{row.pk} {row}" for row in history]
    found["outbox"] = sorted(OutboxEvent.objects.of_context(context).values_list("pk", "status"))
    return found


def move(context: str = "payments") -> ContextMove | None:
    """Return what is noted of a move."""
    return ContextMove.objects.filter(pk=context).first()


def paused_seconds() -> float:
    """Return the length of the pause of the move from the database of this process."""
    moved = move()
    assert moved is not None
    assert moved.paused_seconds is not None
    return round(moved.paused_seconds, 2)


def move_seconds() -> float:
    """Return the time from its beginning to its end."""
    moved = move()
    assert moved is not None
    return round((moved.changed_at - moved.started_at).total_seconds(), 1)


def triggers() -> list[str]:
    """Return the names of the fence's triggers."""
    return texts("SELECT tgname FROM pg_trigger WHERE tgname LIKE 'microworkflows_fence%' ORDER BY 1")


def left_behind() -> list[str]:
    """Return all that a move may have put into the database of this process."""
    return texts(
        "SELECT relname FROM pg_class WHERE relname LIKE 'microworkflows_changes%' UNION ALL"
        " SELECT tgname FROM pg_trigger WHERE tgname LIKE 'microworkflows_%' UNION ALL"
        " SELECT proname FROM pg_proc WHERE proname LIKE 'microworkflows_changes%' OR proname LIKE 'microworkflows_fence%'"
        " UNION ALL SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
    )


def execute(*statements: str) -> None:
    """Execute SQL."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def texts(query: str) -> list[str]:
    """Return the first column of what a query finds."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [text for (text,) in cursor.fetchall()]


def place_until(file: str) -> None:
    """Place orders of every kind until there is such a file."""
    wishes = [
        ("MUG-STONE-350", PaymentToken.VISA),
        ("MUG-STONE-350", PaymentToken.DECLINED),
        ("MUG-STONE-350", PaymentToken.SLOW_BANK),
        ("CUP-RAKU-LTD", PaymentToken.VISA),
    ]
    for sku, pays in itertools.cycle(wishes):
        if Path(file).exists():
            return
        place(sku, pays=pays)
        time.sleep(PAUSE_SECONDS)
