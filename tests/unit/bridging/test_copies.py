"""Copies: the newest event wins, whatever comes twice, late or out of order; what is gone stays gone."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, models, transaction
from django.test.utils import isolate_apps
from hypothesis import given, settings
from hypothesis import strategies as st

from microworkflows import IncomingEvent, registry, times
from microworkflows.bridging import Copy
from microworkflows.bridging.copies import AmbiguousCopyError
from microworkflows.testing import delivered

pytestmark = pytest.mark.django_db(transaction=True)

BEGAN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def product() -> Iterator[Any]:
    """A copy of products, with its table."""
    with isolate_apps("orders"):

        class ProductCopy(Copy):
            sku = models.CharField(max_length=40, unique=True)
            name = models.CharField(max_length=120)

            class Meta:
                app_label = "orders"

    with connection.schema_editor() as editor:
        editor.create_model(ProductCopy)
    yield ProductCopy
    with connection.schema_editor() as editor:
        editor.delete_model(ProductCopy)


with registry.isolated():

    class Named(IncomingEvent, type="orders.product_named.v1"):
        name: str


def named(name: str, *, second: int, number: int = 0, as_of: int | None = None) -> Named:
    """Return an event as delivered, recorded in this second."""
    event = delivered(Named(name=name))
    event._meta = replace(
        event.meta,
        id=UUID(int=number or second + 1),
        time=BEGAN + timedelta(seconds=second),
        as_of=None if as_of is None else BEGAN + timedelta(seconds=as_of),
    )
    return event


def keep(model: Any, event: Named, **more: Any) -> bool:
    return bool(model.keep(event, sku="A", values={"name": event.name}, **more))


def test_newest_event_wins_in_whatever_order_and_however_often_they_come(product: Any) -> None:
    @settings(max_examples=30)
    @given(st.lists(st.integers(min_value=0, max_value=5), min_size=1))
    def comes(order: list[int]) -> None:
        product.objects.all().delete()

        for second in order:
            keep(product, named(f"name {second}", second=second))

        (row,) = product.objects.all()
        assert row.name == f"name {max(order)}"
        assert times.aware(row.copy_as_of) == BEGAN + timedelta(seconds=max(order))

    comes()


def test_it_is_told_whether_an_event_was_the_newest(product: Any) -> None:
    assert keep(product, named("new", second=2))
    assert not keep(product, named("new", second=2))
    assert not keep(product, named("old", second=1))
    assert keep(product, named("newer", second=3))


def test_row_of_the_past_gives_way_to_what_happened_since_it_was_read(product: Any) -> None:
    keep(product, named("changed", second=5))

    # Recorded later, and read before the change.
    assert not keep(product, named("of the past", second=9, as_of=4))

    product.objects.all().delete()
    keep(product, named("of the past", second=9, as_of=4))
    assert keep(product, named("changed", second=5))


def test_events_of_one_moment_count_by_their_ids(product: Any) -> None:
    keep(product, named("second", second=1, number=8))

    assert not keep(product, named("first", second=1, number=7))


def test_version_counts_more_than_clocks(product: Any) -> None:
    keep(product, named("version 2", second=1), version=2)

    assert not keep(product, named("version 1", second=9), version=1)
    assert product.objects.get().name == "version 2"


def test_late_event_does_not_bring_back_what_is_gone(product: Any) -> None:
    keep(product, named("here", second=1))
    assert product.bury(named("gone", second=3), sku="A", values={"name": ""})

    assert not keep(product, named("late", second=2))
    row = product.objects.get()
    assert (row.name, row.copy_gone) == ("", True)
    assert not product.objects.present().exists()

    # What is new is a new row of the origin with the same key.
    assert keep(product, named("anew", second=4))
    assert product.objects.present().get().name == "anew"


def test_tombstone_that_comes_first_leaves_a_mark(product: Any) -> None:
    product.bury(named("gone", second=3), sku="A", values={"name": ""})

    assert not keep(product, named("late", second=2))


def test_key_that_names_several_rows_is_refused(product: Any) -> None:
    keep(product, named("same", second=1))
    product.keep(named("same", second=1), sku="B", values={"name": "same"})

    with pytest.raises(
        AmbiguousCopyError, match=r"Several rows of orders.ProductCopy have name of this event"
    ):
        product.keep(named("same", second=2), name="same", values={})


@isolate_apps("orders")
def test_column_that_a_row_that_is_gone_cannot_fill_is_warned_of() -> None:
    class Priced(Copy):
        sku = models.CharField(max_length=40, unique=True)
        shop, place = models.IntegerField(), models.IntegerField()
        known = models.IntegerField(null=True)
        number = models.IntegerField(default=0)
        price = models.IntegerField()

        class Meta:
            app_label = "orders"
            constraints = [models.UniqueConstraint(fields=["shop", "place"], name="one_place")]

    (found,) = Priced.check()

    assert found.id == "microworkflows.W069"
    assert "before it was known: price must have a value" in found.msg


@pytest.mark.postgres
def test_two_workers_at_one_row_leave_the_newest(product: Any) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def older() -> None:
        try:
            with transaction.atomic():
                keep(product, named("older", second=1))
                begun.set()
                go_on.wait(10)
        finally:
            connection.close()

    def newer() -> None:
        try:
            begun.wait(10)
            threading.Timer(0.2, go_on.set).start()
            with transaction.atomic():
                assert keep(product, named("newer", second=2))  # it waits for the other's row
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for work in (older, newer)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert product.objects.get().name == "newer"
