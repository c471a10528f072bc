"""Long lists in the admin: no click counts a whole table, and what a list has is what it counts and acts on."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from microworkflows.admin import lists
from microworkflows.models import InboxEvent
from microworkflows.testing import Flow
from orders import operations
from orders.models import Order, Product
from tests.unit.shop.conftest import Draft

pytestmark = pytest.mark.django_db

LISTED = [model for model in admin.site._registry if model._meta.app_label != "auth"]


def of_the_whole_table(statements: CaptureQueriesContext) -> list[str]:
    """Return the statements that count without a limit."""
    found = [each["sql"] for each in statements.captured_queries if re.search(r"COUNT\(", each["sql"])]
    return [sql for sql in found if "LIMIT" not in sql]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST", 3)


@pytest.fixture
def lead(client: Client, admin_user: User) -> Client:
    client.force_login(admin_user)
    return client


@pytest.fixture
def orders(draft: Draft, flow: Flow) -> None:
    """Five placed orders, the first of them declined."""
    for token in ["tok_declined", *4 * ["tok_visa"]]:
        operations.place_order(order=draft(payment_token=token, lines={"TEA-SENCHA-100": 1}))
    flow.run()


@pytest.mark.parametrize("model", LISTED, ids=lambda model: model._meta.label)
@pytest.mark.parametrize("query", ["_facets=True&all=", "q=nothing"])
def test_no_list_counts_a_whole_table(
    lead: Client, orders: None, model: type[models.Model], query: str
) -> None:
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")

    with CaptureQueriesContext(connection) as statements:
        response = lead.get(f"{url}?{query}", follow=True)

    assert response.status_code == 200
    own = model._meta.db_table
    assert [sql for sql in of_the_whole_table(statements) if f'FROM "{own}"' in sql] == []


@pytest.mark.parametrize("model", [InboxEvent, Order, Product])
def test_list_ends_where_its_count_ends_and_says_that_there_are_more(
    lead: Client, orders: None, model: type[models.Model]
) -> None:
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")

    response = lead.get(url)

    assert response.context["cl"].result_count == 3
    assert "There are more: this list ends after its first 3." in response.content.decode()


def test_list_that_has_all_says_nothing_of_more(lead: Client, draft: Draft) -> None:
    draft()

    response = lead.get(reverse("admin:orders_order_changelist"))

    assert response.context["cl"].result_count == 1
    assert "There are more" not in response.content.decode()


def test_all_that_are_selected_are_those_that_the_list_has(lead: Client, draft: Draft) -> None:
    made = [draft() for _ in range(5)]

    lead.post(reverse("admin:orders_order_changelist"), all_selected("place_selected", made[0]))

    assert set(Order.objects.filter(state="accepted")) == set(made[2:])  # the newest stand first


def test_acting_on_all_messages_counts_no_more_than_the_list_has(lead: Client, orders: None) -> None:
    InboxEvent.objects.update(status=InboxEvent.Status.PARKED)
    url = reverse("admin:microworkflows_inboxevent_changelist")

    with CaptureQueriesContext(connection) as statements:
        response = lead.post(url, all_selected("send_selected_again", InboxEvent.objects.first()))

    assert response.context["title"] == "Replay 3 messages"
    assert of_the_whole_table(statements) == []


def all_selected(action: str, one: Any) -> dict[str, Any]:
    return {"action": action, "select_across": "1", "index": "0", "_selected_action": [str(one.pk)]}
