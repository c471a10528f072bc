"""The samples of the documents run: what a page shows is what its reader's project executes.

The tutorial's project has a test of its own, and so have others, and the guide's stages. A sample whose first line names a file of this
repository is an excerpt of it (see test_documents.py). Every other sample names a file of the reader's project, and is executed
here: as a module of the shop's apps, as settings, or in a project of its own.
"""

import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml
from django.contrib.auth.models import AnonymousUser, User
from django.core.checks import ERROR, run_checks
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import connection
from django.template import engines
from django.test import RequestFactory, override_settings

from microworkflows import conf, registry
from microworkflows.cloudevents import CloudEvent
from microworkflows.cutover import legacy_steps
from microworkflows.errors import PermanentError, RetryAfter
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.signals import parked
from microworkflows.testing import Flow, delivered
from orders.models import Order, Product
from payments.events import OrderAccepted
from payments.models import Payment
from project import service
from shipping.events import ItemsReserved
from shipping.models import Destination
from tests.architecture.files import ROOT

RUN_ELSEWHERE = {
    "docs/tutorial": "tests/acceptance/test_tutorial.py",
    "docs/howto/error-trackers.md": "tests/unit/test_error_tracker.py",
    "docs/howto/testing.md": "tests/integration/test_startcontext.py",
    "docs/howto/traces.md": "tests/acceptance/test_traces.py",
}
"""Pages, and folders of pages, whose samples another test runs."""
APPS = ("orders", "payments", "inventory", "shipping")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def file(self) -> str:
        """The file that its first line names; empty if it names none."""
        found = re.match(r"# ([\w./-]+\.\w+)(?:, at the end)?\n", self.text)
        return found[1] if found else ""


def samples(page: Path) -> Iterator[Sample]:
    text = page.read_text()
    for found in re.finditer(r"^```([\w{}-]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, found.start(2))
        yield Sample(page=page, line=line, language=found[1], text=found[2])


PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if not any(page.is_relative_to(ROOT / elsewhere) for elsewhere in RUN_ELSEWHERE)
]
SAMPLES = [sample for page in PAGES for sample in samples(page)]
TO_RUN = [
    sample
    for sample in SAMPLES
    if sample.language == "python" and not sample.file.startswith(("apps/", "tests/projects/"))
]
DECLARED = sorted({each.page for each in TO_RUN if each.file.partition("/")[0] in APPS})
SETTINGS = [each for each in TO_RUN if each.file == "settings.py"]
PROJECTS = sorted({each.page for each in TO_RUN} - {*DECLARED, *(each.page for each in SETTINGS)})


def name(value: object) -> str:
    page = value.page if isinstance(value, Sample) else value
    return str(page.relative_to(ROOT)) if isinstance(page, Path) else str(value)


def test_every_sample_of_python_names_its_file_and_is_run() -> None:
    here = [each for each in TO_RUN if each.page in {*DECLARED, *PROJECTS} or each in SETTINGS]

    assert [
        f"{name(each)}:{each.line}" for each in SAMPLES if each.language == "python" and not each.file
    ] == []
    assert here == TO_RUN
    assert [test for test in RUN_ELSEWHERE.values() if not (ROOT / test).exists()] == []


def test_samples_are_of_languages_that_a_test_reads() -> None:
    assert {each.language for each in SAMPLES} <= {
        "python",
        "sh",
        "sql",
        "html",
        "json",
        "yaml",
        "mermaid",
        "{eval-rst}",
        "text",
        "",
    }


# Modules of apps


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], dict[str, ModuleType]]]:
    """Execute a page's samples in modules of the shop's apps, which keep what they had; forget it all afterwards."""
    modules: dict[str, ModuleType] = {}
    monkeypatch.setitem(sys.modules, "billing", billing := ModuleType("billing"))
    billing.__dict__["charge"] = lambda order_id, total: SimpleNamespace(reference="billed")
    monkeypatch.setattr(legacy_steps, "_steps", {})

    def execute(page: Path) -> dict[str, ModuleType]:
        for sample in (each for each in TO_RUN if each.page == page and each.file.partition("/")[0] in APPS):
            module = modules.get(sample.file) or _copy(sample.file, monkeypatch)
            modules[sample.file] = module
            exec(compile("\n" * sample.line + sample.text, str(page), "exec"), module.__dict__)
        return modules

    with registry.isolated():
        yield execute


def _copy(file: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Put a copy of a module in its place, or a new one."""
    dotted = file.removesuffix(".py").replace("/", ".")
    module = types.ModuleType(dotted)
    module.__dict__.update({**vars(sys.modules[dotted])} if dotted in sys.modules else {"__name__": dotted})
    monkeypatch.setitem(sys.modules, dotted, module)
    return module


@pytest.mark.django_db
@pytest.mark.parametrize("page", DECLARED, ids=name)
def test_modules_of_a_page_are_executed_and_declare_nothing_wrong(
    page: Path, declared: Callable[[Path], dict[str, ModuleType]]
) -> None:
    modules = declared(page)

    assert modules
    assert [found for found in run_checks(tags=["microworkflows"]) if found.level >= ERROR] == []


def test_microworkflow_that_gives_up_names_what_is_to_be_done(
    declared: Callable[[Path], dict[str, ModuleType]],
) -> None:
    check = declared(ROOT / "docs/howto/fail.md")["payments/workflows.py"].check_currency
    order = {"order_id": uuid4(), "total": Decimal("1.00"), "payment_token": "tok"}

    check(delivered(OrderAccepted(**order, currency="CHF")))

    with pytest.raises(PermanentError, match=f"settle order {order['order_id']} by hand"):
        check(delivered(OrderAccepted(**order, currency="XXX")))


def test_microworkflow_comes_again_when_its_partner_says_so(
    declared: Callable[[Path], dict[str, ModuleType]],
) -> None:
    class Carrier(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(429)
            self.send_header("Retry-After", "42")
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    shipping = declared(ROOT / "docs/howto/fail.md")["shipping/workflows.py"]
    with HTTPServer(("127.0.0.1", 0), Carrier) as server:
        answering = Thread(target=server.handle_request)
        answering.start()
        shipping.CARRIER = f"http://127.0.0.1:{server.server_port}/bookings"  # type: ignore[attr-defined]

        with pytest.raises(RetryAfter) as raised:
            shipping.book_carrier(delivered(ItemsReserved(order_id=uuid4())))
        answering.join()

    assert raised.value.wait == timedelta(seconds=42)


@pytest.mark.parametrize(("answer", "is_away"), [(503, True), (404, False), (None, True)])
def test_partner_is_away_if_it_does_not_answer_or_not_for_now(
    declared: Callable[[Path], dict[str, ModuleType]], answer: int | None, is_away: bool
) -> None:
    class Insurer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(answer or 200)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    shipping = declared(ROOT / "docs/howto/fail.md")["shipping/workflows.py"]
    with HTTPServer(("127.0.0.1", 0), Insurer) as server:
        shipping.INSURER = f"http://127.0.0.1:{server.server_port}/policies"  # type: ignore[attr-defined]
        answering = Thread(target=server.handle_request)
        if answer is None:
            server.server_close()
        else:
            answering.start()

        with pytest.raises(Exception) as raised:  # noqa: PT011  (which one is the question)
            shipping.insure_parcel(delivered(ItemsReserved(order_id=uuid4())))
        if answer is not None:
            answering.join()

    assert shipping.insure_parcel.breaker.counts(raised.value) is is_away


@pytest.mark.django_db(transaction=True)
def test_both_versions_of_an_event_are_announced_and_heard_once(
    declared: Callable[[Path], dict[str, ModuleType]], flow: Flow
) -> None:
    samples = declared(ROOT / "docs/howto/versions.md")

    samples["orders/operations.py"].announce_price(
        order_id=uuid4(), net=Decimal("10.00"), tax=Decimal("1.90")
    )
    flow.run()

    assert [(row.type, row.body["data"].get("total")) for row in OutboxEvent.objects.order_by("pk")] == [
        ("orders.order_priced.v2", None),
        ("orders.order_priced.v1", "11.90"),
    ]
    assert [(row.label, row.type) for row in InboxEvent.objects.all()] == [
        ("shipping.insure_parcel", "orders.order_priced.v2")
    ]
    reading = samples["shipping/events.py"]
    older = reading.OrderPriced(order_id=uuid4(), total=Decimal("11.90"))
    assert reading.OrderPricedV2.from_previous(older).net == Decimal("11.90")


def test_older_event_lacks_the_field_that_came_later(
    declared: Callable[[Path], dict[str, ModuleType]],
) -> None:
    reading = declared(ROOT / "docs/howto/versions.md")["payments/events.py"].OrderAccepted

    assert reading(order_id=uuid4()).voucher is None


@pytest.mark.django_db(transaction=True)
def test_addresses_of_old_orders_reach_shipping_and_nothing_else_happens(
    declared: Callable[[Path], dict[str, ModuleType]], flow: Flow
) -> None:
    page = ROOT / "docs/howto/bootstrap.md"
    declared(page)
    placed = Order.objects.create(
        customer_name="Sample Customer",
        street="Example Street 1",
        postcode="10115",
        city="Berlin",
        state="shipped",
        total=Decimal("7.00"),
        currency="EUR",
        placed_at=datetime(2020, 1, 2, tzinfo=UTC),
    )
    product = Product.objects.create(sku="TEA", name="Tea", price=Decimal("7.00"))
    placed.lines.create(product=product, unit_price=Decimal("7.00"))

    for command in (
        line for each in samples(page) if each.language == "sh" for line in each.text.splitlines()
    ):
        call_command(*command.split()[2:])
    flow.run()

    assert Destination.objects.get().order_id == placed.pk
    assert flow.types() == ["orders.order_accepted.v1"]


@pytest.mark.django_db(transaction=True)
def test_address_of_an_erased_order_is_forgotten_whatever_comes_first(
    declared: Callable[[Path], dict[str, ModuleType]], flow: Flow
) -> None:
    operations = declared(ROOT / "docs/howto/foreign-keys.md")["orders/operations.py"]
    known, unknown = (Order.objects.create(customer_name="A", street="B", postcode="C") for _ in range(2))
    Destination.objects.create(order_id=known.pk, noted=True, name="A", country="DE")
    ids = {known.pk, unknown.pk}

    for order in (known, unknown):
        operations.erase_order(order=order)
    flow.run()

    kept = {row.order_id: str(row) for row in Destination.objects.all()}
    assert kept == dict.fromkeys(ids, "(address dropped)")
    assert not Order.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_order_whose_payment_is_missing_is_found(
    declared: Callable[[Path], dict[str, ModuleType]], capsys: pytest.CaptureFixture[str]
) -> None:
    page = ROOT / "docs/howto/reconcile.md"
    declared(page)
    compare, receive = [
        line.split()[2:] for each in samples(page) if each.language == "sh" for line in each.text.splitlines()
    ]
    order = Order.objects.create(
        state="paid", total=Decimal("7.00"), currency="EUR", placed_at=datetime(2026, 1, 2, tzinfo=UTC)
    )

    with pytest.raises(CommandError, match="Something differs"):
        call_command(*compare, settle=0)

    assert f"1  only orders.Order in default: {order.pk}" in capsys.readouterr().out
    Payment.objects.create(
        order_id=order.pk,
        idempotency_key=uuid4(),
        amount=Decimal("7.00"),
        currency="EUR",
        state="received",
        reference="1",
        taken_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    call_command(*compare)
    call_command(*receive)


@pytest.mark.django_db(transaction=True)
def test_reference_to_something_large_is_checked_in_and_out(
    declared: Callable[[Path], dict[str, ModuleType]], flow: Flow, tmp_path: Path
) -> None:
    modules = declared(ROOT / "docs/howto/large-payloads.md")
    order, scan = uuid4(), b"a page" * 1_000_000

    with override_settings(MEDIA_ROOT=tmp_path):
        modules["orders/operations.py"].sign_contract(order_id=order, scan=scan)
        flow.run()
        (file,) = (tmp_path / "contracts").iterdir()
        file.write_bytes(b"another")
        modules["orders/operations.py"].sign_contract(order_id=order, scan=scan)
        OutboxEvent.objects.filter(pk=OutboxEvent.objects.pending()[0].pk).update(
            body={
                **(row := OutboxEvent.objects.pending()[0]).body,
                "data": {**row.body["data"], "scan": f"contracts/{file.name}"},
            }
        )
        flow.run(keep_failures=True)

    assert len(json.dumps(OutboxEvent.objects.order_by("pk")[0].body)) < 1_000
    (parked_message,) = flow.parked
    assert "is not what was announced" in (parked_message.error or "")


@pytest.mark.django_db(transaction=True)
def test_order_that_is_not_paid_in_time_is_cancelled(
    declared: Callable[[Path], dict[str, ModuleType]], flow: Flow
) -> None:
    modules = declared(ROOT / "docs/howto/timers.md")
    orders = [
        Order.objects.create(state="accepted", placed_at=datetime.now(UTC), total=7, currency="EUR")
        for _ in range(2)
    ]
    announced: dict[str, Any] = {**registry.announced()}
    accepted, received = (
        announced[each] for each in ("orders.order_accepted.v1", "payments.payment_received.v1")
    )
    line = {"sku": "TEA", "quantity": 1}
    to = {"name": "A", "street": "B", "postcode": "C", "city": "D", "country": "DE"}
    paid, unpaid = (
        accepted(
            order_id=order.pk,
            number="A-1",
            total="7.00",
            currency="EUR",
            payment_token="tok",
            lines=[line],
            ship_to=to,
        )
        for order in orders
    )
    flow.record(
        received(order_id=paid.order_id, payment_reference="r", amount="7.00", currency="EUR"),
        correlation_id=paid.order_id,
    )

    for each in (paid, unpaid):
        modules["orders/tests.py"].cancelled_if_not_paid(flow, each)

    assert [Order.objects.get(pk=order.pk).state for order in orders] == ["paid", "cancelled"]
    modules["orders/operations.py"].expect_payment(order_id=orders[0].pk, until=datetime.now(UTC))
    assert OutboxEvent.objects.scheduled().count() == 1


def test_receiver_of_a_signal_notes_a_parked_message(
    declared: Callable[[Path], dict[str, ModuleType]], caplog: pytest.LogCaptureFixture
) -> None:
    app = declared(ROOT / "docs/howto/monitoring.md")["payments/apps.py"]
    message = SimpleNamespace(label="payments.take_payment", error="no bank")

    app.PaymentsConfig.ready(SimpleNamespace())
    try:
        parked.send(InboxEvent, message=message, exception=None)
    finally:
        parked.disconnect(app.note_parked)

    assert caplog.messages == ["payments.take_payment is parked: no bank"]


@pytest.mark.django_db
def test_page_of_ones_own_shows_the_journey_and_keeps_it_up_to_date(
    declared: Callable[[Path], dict[str, ModuleType]], rf: RequestFactory, admin_user: User
) -> None:
    how = ROOT / "docs/howto/journeys.md"
    (page,) = (each.text for each in SAMPLES if each.language == "html")
    order = Order.objects.create()
    request = rf.get("/")
    request.user = admin_user

    shown = engines["django"].from_string(page).render({"order": order, "journey_url": "journey/"}, request)
    answer = declared(how)["orders/views.py"].order_journey(request, order.pk)
    request.user = AnonymousUser()

    assert 'data-mw-journey="journey/"' in shown
    assert "No event of this flow has been recorded yet." in shown
    assert "No event of this flow has been recorded yet." in answer.content.decode()
    with pytest.raises(PermissionDenied):
        declared(how)["orders/views.py"].order_journey(request, order.pk)


# Settings


@pytest.mark.parametrize("sample", SETTINGS, ids=name)
def test_settings_of_a_page_are_settings(sample: Sample, tmp_path: Path) -> None:
    given: dict[str, Any] = {"BASE_DIR": tmp_path, "SERVICE": "payments", "service": service}
    exec(compile("\n" * sample.line + sample.text, str(sample.page), "exec"), given)
    shown = {
        key: value for key, value in given.items() if key.isupper() and key not in {"BASE_DIR", "SERVICE"}
    }

    assert shown
    with override_settings(MICROWORKFLOWS=shown.get("MICROWORKFLOWS", {})):
        conf.check()
    for database in shown.get("DATABASES", {}).values():
        _connect(database.get("OPTIONS", {}))


def _connect(options: dict[str, Any]) -> None:
    """Open a session with these options; without PostgreSQL there is nothing that would know them."""
    if connection.vendor == "postgresql":
        import psycopg

        login = connection.settings_dict
        with psycopg.connect(
            host=login["HOST"],
            port=login["PORT"],
            user=login["USER"],
            password=login["PASSWORD"],
            dbname="postgres",
            **options,
        ) as session:
            assert session.execute("SELECT 1").fetchone() == (1,)


# Projects of their own

SETTINGS_OF_A_PROJECT = """
SECRET_KEY = "for-this-test-only"
INSTALLED_APPS = ["django.contrib.contenttypes", "django_outbox_pattern", "microworkflows", __package__]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""


@pytest.mark.parametrize("page", PROJECTS, ids=name)
def test_project_of_a_page_passes_the_checks(page: Path, tmp_path: Path) -> None:
    files = [each for each in TO_RUN if each.page == page]
    package = files[0].file.partition("/")[0]
    (tmp_path / package).mkdir()
    settings = SETTINGS_OF_A_PROJECT
    if f"{package}/celery.py" not in [each.file for each in files]:
        settings += 'SILENCED_SYSTEM_CHECKS = ["microworkflows.E030"]'
    (tmp_path / package / "settings.py").write_text(settings)
    for sample in files:
        with (tmp_path / sample.file).open("a") as file:
            file.write(sample.text)

    finished = subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", "check", "--fail-level", "WARNING"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": f"{package}.settings",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr


# Other languages


@pytest.mark.postgres
@pytest.mark.django_db
@pytest.mark.parametrize("sample", [each for each in SAMPLES if each.language == "sql"], ids=name)
def test_statements_of_a_page_are_executed(sample: Sample) -> None:
    statements = [statement for statement in sample.text.split(";\n") if statement.strip()]

    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)

    assert statements


@pytest.mark.parametrize("sample", [each for each in SAMPLES if each.language in {"json", "yaml"}], ids=name)
def test_data_of_a_page_can_be_read(sample: Sample) -> None:
    read: Callable[[str], Any] = json.loads if sample.language == "json" else yaml.safe_load

    assert read(sample.text)


@pytest.mark.django_db(transaction=True)
def test_event_on_the_wire_has_the_form_that_the_reference_shows() -> None:
    page = ROOT / "docs/reference/events.md"
    shown = next(json.loads(each.text) for each in SAMPLES if each.page == page and each.language == "json")

    event = CloudEvent.from_outside(shown)

    assert event.to_dict() == shown
    listed = set(re.findall(r"^\| `(\w+)` \| (?:CloudEvents|extension) \|", page.read_text(), re.MULTILINE))
    assert shown.keys() <= listed
    assert UUID(shown["id"]).version == 7
