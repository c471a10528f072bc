"""A watched run: whose statement it is, whose table, and which line is to be mended."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.urls import reverse

from microworkflows import DomainEvent, IncomingEvent, microworkflow
from microworkflows.cutover.suite import running as suite
from microworkflows.cutover.suite.ways import Way
from microworkflows.cutover.unplugging import importing, running, watching
from microworkflows.cutover.unplugging.findings import Finding, Found
from microworkflows.cutover.unplugging.parties import Parties
from microworkflows.testing import Flow
from orders import operations
from payments.models import Payment
from tests.unit.shop.conftest import Draft

Code = Callable[[str, str], Any]

CHARGE = "def charge():\n    from payments.models import Payment\n    Payment.objects.filter(pk=None).update(amount=0)\n"


@pytest.fixture
def code() -> Iterator[Code]:
    """Return what makes a module of an app, given its code; its file is not there, and need not be."""
    made = []

    def make(app: str, text: str) -> Any:
        name = f"{app}.meddling"
        file = Path(apps.get_app_config(app).path, "meddling.py")
        module = ModuleType(name)
        module.__file__ = str(file)
        exec(compile(text, str(file), "exec"), vars(module))
        sys.modules[name] = module
        made.append(name)
        return module

    yield make
    for name in made:
        sys.modules.pop(name, None)


def found_while(run: Callable[[], Any], *, context: str = "payments") -> Found:
    with watching.watching([context], Parties()) as found:
        run()
    return found[context]


def told(found: Found) -> list[tuple[int, str, str, str]]:
    return [(each.line, each.kind, each.what.split()[0], each.who) for each in found.sorted()]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Payment.objects.filter(pk=None, amount=1).first(); Payment.objects.first()", "read"),
        ("Payment.objects.filter(amount=0).update(amount=1)", "update"),
        ("Payment.objects.filter(amount=0)._raw_delete('default')", "delete"),
        ("connection.cursor().execute('SELECT count(*) FROM payments_payment')", "read"),
        ("connection.cursor().execute('update payments_payment set amount = 1 where 1 = 0')", "update"),
        (
            "connection.cursor().execute('WITH gone AS (SELECT 1) SELECT * FROM gone, payments_payment')",
            "read",
        ),
    ],
)
def test_statement_of_others_on_an_empty_table_of_the_context_is_found(
    monolith: None, code: Code, line: str, kind: str
) -> None:
    meddling = code(
        "orders",
        f"from django.apps import apps\nfrom django.db import connection\ndef meddle():\n    Payment = apps.get_model('payments.Payment')\n    {line}\n",
    )

    found = found_while(meddling.meddle)

    assert told(found) == [(5, kind, "payments_payment", "orders")]
    assert found.sorted()[0].file == "apps/orders/meddling.py"
    assert "payments_payment" in found.sorted()[0].statement


@pytest.mark.django_db
def test_view_stands_for_the_tables_that_it_reads(monolith: None, code: Code) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE VIEW takings AS SELECT amount FROM payments_payment")
    meddling = code(
        "orders",
        "from django.db import connection\ndef meddle():\n    connection.cursor().execute('SELECT sum(amount) FROM takings')\n",
    )

    found = found_while(meddling.meddle)

    assert told(found) == [(3, "read", "payments_payment", "orders")]


@pytest.mark.django_db
def test_code_of_the_context_that_others_call_is_mended_where_they_call_it(
    monolith: None, code: Code
) -> None:
    code("payments", CHARGE)
    meddling = code("orders", "def place():\n    import sys\n    sys.modules['payments.meddling'].charge()\n")

    found = found_while(meddling.place)

    (update,) = found.sorted()
    assert (update.file, update.line, update.kind) == ("apps/orders/meddling.py", 3, "update")
    assert update.through == "apps/payments/meddling.py:3"


@pytest.mark.django_db
def test_code_of_the_context_may_do_it_and_so_may_tests(monolith: None, code: Code) -> None:
    charging = code("payments", CHARGE)

    found = found_while(lambda: (charging.charge(), Payment.objects.count()))

    assert found.findings == []
    assert (found.own_statements, found.nobodys) == (1, 1)


@pytest.mark.django_db
def test_step_of_the_context_reaches_no_table_of_others_whoever_wrote_what_it_calls(
    monolith: None, code: Code, empty_registry: None, flow: Flow
) -> None:
    counting = code(
        "orders", "def count():\n    from orders.models import Order\n    return Order.objects.count()\n"
    )

    class Rung(DomainEvent, type="bells.rung.v1"):
        pass

    class Heard(IncomingEvent, type="bells.rung.v1"):
        pass

    @microworkflow(on=Heard, context="payments")
    def listen(event: Heard) -> None:
        counting.count()

    with suite.taking_part({"payments": Way.LIVE}, lambda step: None):
        found = found_while(lambda: flow.record(Rung()))

    assert told(found) == [(3, "read", "orders_order", "payments.listen")]
    assert found.steps == {"payments.listen"}


@pytest.mark.django_db
def test_page_of_the_context_is_its_own_whoever_wrote_what_is_around(
    monolith: None, login: Callable[..., Any]
) -> None:
    client = login("view_payment", "view_order")

    pages = [
        lambda: client.get(reverse("admin:payments_payment_changelist")),
        lambda: client.get(reverse("admin:orders_order_changelist")),
    ]
    payments, orders = (found_while(page) for page in pages)

    assert payments.findings == orders.findings == []
    assert payments.own_statements > 0
    assert orders.own_statements == 0
    assert orders.others_statements > 0


@pytest.mark.django_db
def test_import_by_a_name_put_together_is_found(monolith: None, code: Code) -> None:
    meddling = code(
        "orders",
        "from importlib import import_module\ndef meddle():\n    return import_module('.'.join(['payments', 'gateway']))\n",
    )

    found = found_while(meddling.meddle)

    assert told(found) == [(3, "import", "payments.gateway", "orders")]


@pytest.mark.django_db
def test_shop_is_apart(monolith: None, draft: Draft) -> None:
    contexts = ["payments", "inventory", "shipping"]
    live = dict.fromkeys(contexts, Way.LIVE)

    with watching.watching(contexts, Parties()) as found, suite.taking_part(live, lambda step: None):
        operations.place_order(order=draft())

    for context in contexts:
        assert found[context].findings == []
        assert found[context].own_statements > 0
        assert found[context].others_statements > 0
        assert importing.in_code(context, Parties()) == ([], [])
    assert found["payments"].steps == {"payments.take_payment"}


@pytest.mark.django_db
def test_code_of_no_app_is_the_others(monolith: None) -> None:
    services: dict[str, Any] = {"__name__": "services"}
    exec(compile(CHARGE, str(Path(settings.BASE_DIR, "services.py")), "exec"), services)

    found = found_while(services["charge"])

    (update,) = found.sorted()
    assert (update.file, update.who) == ("services.py", "code of no app with tables")


@pytest.mark.django_db
def test_helper_of_everybody_is_mended_where_it_is_called(monolith: None, code: Code) -> None:
    helpers: dict[str, Any] = {"__name__": "helpers"}
    text = "def run(sql):\n    from django.db import connection\n    connection.cursor().execute(sql)\n"
    exec(compile(text, str(Path(settings.BASE_DIR, "helpers.py")), "exec"), helpers)
    meddling = code("orders", "def meddle(run):\n    run('SELECT 1 FROM payments_payment')\n")

    found = found_while(lambda: meddling.meddle(helpers["run"]))

    (read,) = found.sorted()
    assert (read.file, read.line, read.through) == ("apps/orders/meddling.py", 2, "helpers.py:3")


def test_production_needs_no_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None; import django; django.setup();"
        "from microworkflows.cutover.unplugging import proof, running; from microworkflows.cutover.management.commands import unplug"
    )

    subprocess.run([sys.executable, "-c", code], check=True, cwd=settings.BASE_DIR)


def test_run_that_saw_nothing_proves_nothing() -> None:
    found = Found(
        steps={"payments.take_payment"},
        failed={"payments.take_payment: Oops"},
        tests={"test_it": "failed", "test_more": "passed"},
    )

    doubts = " ".join(found.doubts(["payments.take_payment", "payments.refund"]))

    assert "no statement of its own" in doubts
    assert "no statement of others" in doubts
    assert "never ran: payments.refund" in doubts
    assert "steps failed, and what follows in them was not seen: payments.take_payment: Oops" in doubts
    assert "tests failed, and what follows in them was not seen: test_it" in doubts


def test_what_two_processes_found_is_added_up() -> None:
    one, other = (
        Found(
            [Finding("a.py", number, "read", "t")],
            *(number, 1, 1, {f"a.{number}"}, {f"a.{number}: Oops"}, {f"test_{number}": "passed"}),
        )
        for number in (1, 2)
    )

    one.add(Found.of(other.as_dict()))

    assert one == Found(
        [Finding("a.py", 1, "read", "t"), Finding("a.py", 2, "read", "t")],
        *(3, 2, 2, {"a.1", "a.2"}, {"a.1: Oops", "a.2: Oops"}, {"test_1": "passed", "test_2": "passed"}),
    )


@pytest.mark.django_db
def test_step_that_fails_when_it_is_delivered_is_a_doubt(monolith: None, draft: Draft) -> None:
    with running.watched(["payments"]) as found:
        operations.place_order(order=draft(payment_token="tok_slow_bank"))

    (failed,) = found["payments"].failed
    assert failed.startswith("payments.take_payment: GatewayUnavailableError")
    assert found["payments"].findings == []
