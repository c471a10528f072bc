"""A foreign key becomes an id and goes back, on a real database, with rows, column and index as they were."""

import re

import psycopg
import pytest

from tests.integration.bridging.conftest import SCHEMA
from tests.integration.bridging.shop import Shop

BEFORE = """
call_command("makemigrations", "customers", "orders", verbosity=0)
call_command("migrate", "orders", verbosity=0)
ann, bob = Customer.objects.create(name="Ann"), Customer.objects.create(name="Bob")
for number, customer in enumerate([ann, ann, bob, None]):
    Order.objects.create(number=number, customer=customer)
call_command("loosen", "orders.Order.customer")
"""
SHAPE = """
from microworkflows.bridging import operations
from microworkflows.bridging.operations import DanglingIdsError, TableInUseError

def shape():
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, Order._meta.db_table)
        columns = [each.name for each in connection.introspection.get_table_description(cursor, Order._meta.db_table)]
    return sorted(columns), sorted(
        (sorted(each["columns"]), each["index"], each["unique"], bool(each["foreign_key"])) for each in found.values()
    )
"""
AFTER = """
before = shape()
call_command("makemigrations", "--check", verbosity=0)
call_command("sqlmigrate", "orders", "0002")
assert shape() == before
call_command("migrate", "orders", verbosity=0)
rows = list(Order.objects.order_by("number").values_list("customer_id", flat=True))
assert rows == [1, 1, 2, None], rows
after = shape()
keyed = [each for each in before[1] if each[3]]
assert len(keyed) == 1 and not [each for each in after[1] if each[3]], (before, after)
assert after[0] == before[0]
assert [each for each in after[1]] == [each for each in before[1] if not each[3]], (before, after)
call_command("loosen", check=True)
with connection.cursor() as cursor:
    cursor.execute("DELETE FROM customers_customer WHERE id = 1")
print(raises(CommandError, lambda: call_command("loosen", "orders.Order.customer", check=True)))
"""
BACK = """
back = lambda: call_command("migrate", "orders", "0001", verbosity=0)
print(raises(DanglingIdsError, back))
assert not [each for each in shape()[1] if each[3]]
Order.objects.filter(customer_id=1).delete()
back()
assert shape() == before, (shape(), before)
def dangle():
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders_order (number, customer_id) VALUES (9, 99)")
raises(IntegrityError, dangle)
call_command("migrate", "orders", verbosity=0)
assert shape() == after
"""


def loosened(monolith: Shop) -> str:
    """Loosen the key in migration and model; return what the command said."""
    said = monolith.run(BEFORE)
    found = re.search(r"replace customer by\n +(.+)\n", said)
    assert found, said
    monolith.loosen_in_the_model(found[1])
    return said


def test_key_becomes_an_id_and_goes_back_with_its_rows_and_indexes(monolith: Shop) -> None:
    said = loosened(monolith)

    assert "customer_id = models.BigIntegerField(db_index=True, null=True)" in said
    assert "In one_number, newest_customer, name the new field." in said
    (migration,) = (monolith.folder / "orders/migrations").glob("0002_loosen_order_customer.py")
    assert "atomic = False" in migration.read_text()

    told = monolith.run(SHAPE + AFTER + BACK)

    assert "orders.Order.customer_id → customers.Customer: every id names a row" in told
    dangling = "2 rows name 1 ids that are not there: 1"
    assert f"orders.Order.customer_id → customers.Customer: {dangling}\nIds dangle." in told
    assert f"orders.Order.customer cannot be a foreign key again: {dangling}. Nothing was changed." in told


IN_USE = """
operations.PATIENCE = 0.5
print(raises(TableInUseError, lambda: call_command("migrate", "orders", verbosity=0)))
assert [each for each in shape()[1] if each[3]]
"""
BEHIND_ITS_BACK = """
call_command("migrate", "orders", verbosity=0)
Order.objects.filter(number=3).update(customer_id=99)
looked = operations.dangling.find
operations.dangling.find = lambda *a, **k: (setattr(operations.dangling, "find", looked), operations.dangling.Dangling(0, 0, ()))[1]
back = lambda: call_command("migrate", "orders", "0001", verbosity=0)
print(raises(DanglingIdsError, back))
def validated():
    with connection.cursor() as cursor:
        cursor.execute("SELECT convalidated FROM pg_constraint WHERE contype = 'f' AND conrelid = 'orders_order'::regclass")
        return cursor.fetchall()
assert validated() == [(False,)], validated()
Order.objects.filter(customer_id=99).delete()
back()
assert validated() == [(True,)], validated()
"""


@pytest.mark.postgres
def test_table_in_use_is_left_alone_and_said_to_be_in_use(monolith: Shop, database_url: str) -> None:
    loosened(monolith)

    with psycopg.connect(database_url) as other:
        other.execute(f"LOCK TABLE {SCHEMA}.customers_customer IN ACCESS SHARE MODE")
        told = monolith.run(SHAPE + IN_USE)

    assert "orders_order, or the table that its key names, was in use for 0.5 s" in told


@pytest.mark.postgres
def test_row_that_slips_in_while_the_key_is_put_back_is_found_and_the_next_attempt_goes_on(
    monolith: Shop,
) -> None:
    loosened(monolith)

    told = monolith.run(SHAPE + BEHIND_ITS_BACK)

    assert "1 rows name 1 ids that are not there: 99" in told


ELSEWHERE = """
from microworkflows.bridging import dangling
before = dangling.loosened()
for alias in connections:
    call_command("migrate", "customers", database=alias, verbosity=0)
call_command("migrate", "orders", verbosity=0)
assert [str(each) for each in before] == ["orders.Order.customer_id → customers.Customer"]
Customer.objects.using("there").bulk_create(Customer(id=each) for each in range(1, 2501))
Order.objects.all().delete()
Order.objects.bulk_create(Order(number=each, customer_id=each) for each in range(1, 2513))
print(raises(CommandError, lambda: call_command("loosen", check=True)))
"""


def test_ids_are_looked_up_in_another_database_in_batches(monolith: Shop) -> None:
    loosened(monolith)
    monolith.databases["there"] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(monolith.folder / "there.sqlite3"),
    }
    (monolith.folder / "routing.py").write_text(ROUTER)

    told = monolith.run(ELSEWHERE, SHOP_ROUTERS='["routing.CustomersAreThere"]')

    shown = ", ".join(map(str, range(2501, 2511)))
    assert f"12 rows name 12 ids that are not there: {shown} and 2 more" in told


ROUTER = """
class CustomersAreThere:
    def db_for_read(self, model, **hints):
        return "there" if model._meta.app_label == "customers" else None
"""
