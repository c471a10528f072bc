"""Names of functions and readings of statements."""

import functools

import pytest

from microworkflows_xray.facts import Place
from microworkflows_xray.observed import names
from microworkflows_xray.observed.places import Spot
from microworkflows_xray.observed.readings import Readings


class Shop:
    def sell(self) -> list[int]:
        def inner() -> int:
            return 1

        return [inner() for _ in range(1)]

    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("qualname", "name"),
    [
        ("Creator.place", "m.Creator.place"),
        ("outer.<locals>.inner", "m.outer.inner"),
        ("outer.<locals>.<lambda>", "m.outer"),
        ("outer.<locals>.<listcomp>", "m.outer"),
        ("outer.<locals>.<lambda>.<locals>.<genexpr>", "m.outer"),
        ("<lambda>", ""),
        ("<module>", ""),
    ],
)
def test_name_has_no_locals_and_lambdas_belong_to_the_function_around(qualname: str, name: str) -> None:
    assert names.joined("m", qualname) == name


def test_code_is_named_like_its_function() -> None:
    assert names.of_code(Shop.sell.__code__, __name__) == f"{__name__}.Shop.sell"


def test_callable_is_named_whatever_it_is_wrapped_in() -> None:
    wrapped = functools.partial(functools.wraps(Shop.sell)(lambda: None))

    assert names.of_callable(wrapped) == f"{__name__}.Shop.sell"
    assert names.of_callable(Shop().sell) == f"{__name__}.Shop.sell"
    assert names.of_callable(Shop()) == f"{__name__}.Shop"


def test_lists_of_any_length_are_one_statement() -> None:
    readings = Readings()

    one = readings.of('SELECT "a"."id" FROM "a" WHERE "a"."id" IN (%s)', "sqlite")
    other = readings.of('SELECT "a"."id" FROM "a" WHERE "a"."id" IN (%s, %s, %s)', "sqlite")

    assert one is other or (one is not None and other is not None and one.read == other.read)


def test_statement_becomes_an_access_for_each_table() -> None:
    reading = Readings().of(
        'UPDATE "a" SET "x" = %s WHERE "a"."id" IN (SELECT "b"."a_id" FROM "b")', "sqlite"
    )

    assert reading is not None
    write, read = reading.accesses(Spot(Place("m.py", 1, "m.f", "m"), "ORM"))
    assert (write.table, write.verb, write.columns, write.joins) == ("a", "update", ("x",), ("b",))
    assert (read.table, read.verb, read.columns) == ("b", "read", None)


@pytest.mark.parametrize(
    ("sql", "locks"),
    [
        ('SELECT "a"."id" FROM "a" FOR UPDATE', True),
        ('SELECT "a"."id" FROM "a" FOR NO KEY UPDATE SKIP LOCKED', True),
        ('SELECT "a"."id" FROM "a"', False),
        ('DELETE FROM "a"', True),
    ],
)
def test_statement_that_can_wait_for_a_lock_is_known(sql: str, locks: bool) -> None:
    reading = Readings().of(sql, "postgresql")

    assert reading is not None
    assert reading.locks is locks
