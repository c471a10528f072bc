"""What the pages say at night, when a part does not work: each is stopped in turn, in four services, before a real browser.

With ``SCREENSHOTS=folder`` each page is kept as it was: in the light, in the dark and on a phone. docs/howto/at-night.md shows some.
"""

from kombu import Connection

from tests.acceptance.admin import Admin
from tests.acceptance.running import wait_until
from tests.acceptance.whole import FLOWS, MARKS, Running, away, open_journey, stopped
from tests.integration.support.processes import pool_stopped

pytestmark = MARKS

HEARS_NOTHING = "The journal has heard from nobody since"


def test_collector_that_is_stopped_leaves_nothing_that_looks_like_the_present(
    four: Running, admin: Admin
) -> None:
    with four.without_relay("orders"):
        order = four.place()
        admin.open("/admin/")

        admin.wait_for_text(".mw-contexts", HEARS_NOTHING)

        assert "manage.py journal_collect" in admin.text(".mw-contexts")
        for context in ("payments", "inventory", "shipping"):
            assert "alive" not in row(admin, context)
        admin.screenshots("collector_stopped_first_page")
        admin.open(f"{FLOWS}?q={order.number}")
        assert HEARS_NOTHING in admin.text("#content")
        admin.screenshots("collector_stopped_flows")
    settle(admin, order.number)


def test_broker_that_is_away_is_named_and_orders_are_placed_all_the_same(four: Running, admin: Admin) -> None:
    with away(four.broker):
        order = four.place()
        admin.open("/admin/")

        admin.wait_for_text(".mw-contexts", HEARS_NOTHING)
        admin.reload_until(".mw-counts", "unknown dead")

        admin.screenshots("broker_away_first_page")
    settle(admin, order.number)


def test_page_whose_own_database_is_away_says_that_it_is_not_up_to_date(four: Running, admin: Admin) -> None:
    admin.open("/admin/")
    admin.wait_for_text(".mw-contexts", "alive since")
    with away(four.databases["orders"]):
        admin.wait_for_text(".mw-contexts", "connection lost")

        assert admin.run(COLOURS) == "grayscale(1)", "what was green is no longer shown as good"
        admin.screenshots("own_database_away_first_page")
    wait_until("the page is up to date again", lambda: admin.run(CONNECTION) == "live", seconds=60)


def test_service_whose_database_is_away_is_where_the_order_waits(four: Running, admin: Admin) -> None:
    with away(four.databases["payments"]):
        order = four.place()
        open_journey(admin, order.number)

        admin.wait_for_text("#content", "payments.take_payment of Order accepted")

        admin.open("/admin/")
        wait_until("payments relays nothing", lambda: "alive" not in cells(admin, "payments")[2], seconds=60)
        admin.screenshots("database_away_first_page")
        open_journey(admin, order.number)
        admin.screenshots("database_away_journey")
    settle(admin, order.number)


def test_worker_that_hangs_is_silent_and_the_order_waits_for_it(four: Running, admin: Admin) -> None:
    with stopped(four.services.worker("payments")):
        order = four.place()
        open_journey(admin, order.number)

        admin.wait_for_text("#content", "the last fell silent")

        admin.screenshots("hung_worker_journey")
        admin.open("/admin/")
        admin.wait_for_text(".mw-contexts", "silent since")
        assert "silent since" in row(admin, "payments")
        admin.screenshots("hung_worker_first_page")
    settle(admin, order.number)


def test_queue_that_grows_is_seen_with_the_flows_that_wait(four: Running, admin: Admin) -> None:
    with pool_stopped(four.services.worker("payments")):
        four.run_python("orders", PLACE_MANY)
        admin.open("/admin/")
        wait_until("the queue has grown", lambda: depth(admin, "payments") > 0, seconds=60)

        assert "alive since" in row(admin, "payments")
        admin.screenshots("queue_grows_first_page")
        admin.open("/admin/microworkflows_journal/context/?window=15m")
        admin.screenshots("queue_grows_map")
        order = four.place()
        open_journey(admin, order.number)
        admin.wait_for_text("#content", "messages wait in the queue of payments")
        admin.screenshots("queue_grows_journey")
    settle(admin, order.number)
    admin.open("/admin/")
    wait_until("the queue is empty again", lambda: depth(admin, "payments") == 0, seconds=120)


def test_message_that_is_no_event_is_a_dead_letter(four: Running, admin: Admin) -> None:
    with Connection(four.services.broker("payments")) as connection:
        for body in ("order A-000042 is paid", '{"specversion": "1.0"}'):
            connection.Producer().publish(
                body,
                exchange="microworkflows",
                routing_key="payments.payment_declined.v1",
                content_type="text/plain",
            )
    admin.open("/admin/")

    wait_until("two dead letters", lambda: cells(admin, "orders")[8:9] == ["2"], seconds=60)

    admin.screenshots("dead_letters_first_page")
    admin.open("/admin/microworkflows/deadletter/")
    assert "2" in admin.text("#content")
    admin.screenshots("dead_letters")


def row(admin: Admin, context: str) -> str:
    return " | ".join(cells(admin, context))


def cells(admin: Admin, context: str) -> list[str]:
    """Return what the first page's row of a context says, in its columns."""
    found: list[str] = admin.run(ROW, context)
    return found


def depth(admin: Admin, context: str) -> int:
    """Return the number of messages that the first page sees in a queue; -1 if it knows none."""
    told = cells(admin, context)[3:4]
    number = told[0].replace(",", "") if told else ""
    return int(number) if number.isdecimal() else -1


def settle(admin: Admin, number: str) -> None:
    """Wait until an order has arrived: all works again."""
    open_journey(admin, number)
    admin.wait_for_text("[data-mw-part=summary]", "done")


CONNECTION = "return document.querySelector('.mw-contexts [data-mw-connection]').dataset.mwConnection"
COLOURS = "return getComputedStyle(document.querySelector('.mw-contexts [data-mw-part]')).filter"

ROW = """
const row = [...document.querySelectorAll('.mw-contexts tbody tr')].find(
    each => each.querySelector('th').innerText === arguments[0]
);
return row ? [...row.children].map(each => each.innerText.trim()) : [];
"""

PLACE_MANY = """
from orders import operations
for number in range(120):
    order = operations.create_order(
        customer_name="Night Owl", street="Quay 2", postcode="10115", city="Berlin", country="DE",
        payment_token="tok_visa", lines={"FILTER-PAPER-100": 1},
    )
    operations.place_order(order=order)
"""
