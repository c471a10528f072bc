"""Whom the door believes, by the way that a message came. tests/acceptance/test_trust.py tries it on a broker."""

from typing import Any

import pytest
from kombu import Connection, Message
from pytest_django import Settings

from microworkflows import trust
from microworkflows.errors import InvalidCloudEventError
from microworkflows.relay.publisher import login

USERS = {"orders": "orders-user", "payments": "payments-user", "inventory": "inventory-user"}
ACCEPTED = "orders.order_accepted.v1"


def _check(
    routing_key: str | None,
    *,
    user: str | None = None,
    source: str = "/orders",
    queue: str = "inventory",
    first: str | None = None,
    embedded: bool = False,
) -> None:
    message = Message(
        properties={} if user is None else {"user_id": user},
        headers={} if first is None else {trust.PUBLISHER: first},
        delivery_info={
            "routing_key": routing_key,
            **({"queue": queue} if embedded else {"consumer_tag": "1"}),
        },
    )
    trust.check(message, event_type=ACCEPTED, source=source, queue=queue)


@pytest.mark.parametrize("key", [ACCEPTED, "inventory"])
def test_event_comes_by_its_type_or_by_the_name_of_the_queue(key: str) -> None:
    _check(key)


@pytest.mark.parametrize("key", [None, "", "payments", "payments.payment_received.v1", "inventory.dead", "#"])
def test_event_that_comes_by_another_key_is_refused(key: str | None) -> None:
    with pytest.raises(InvalidCloudEventError, match=r"Its publisher must use the type"):
        _check(key)


def test_users_are_believed_as_their_contexts(settings: Settings) -> None:
    settings.MICROWORKFLOWS = {"USERS": USERS}

    _check(ACCEPTED, user="orders-user")
    _check(ACCEPTED, user="orders-user", source="https://shop.example/orders")
    _check("inventory", user="inventory-user")
    _check("inventory", user="inventory-user", first="orders-user")


@pytest.mark.parametrize(
    "came",
    [
        pytest.param({"routing_key": ACCEPTED}, id="nobody's"),
        pytest.param({"routing_key": ACCEPTED, "user": "payments-user"}, id="another's"),
        pytest.param({"routing_key": ACCEPTED, "user": "inventory-user"}, id="the listener's"),
        pytest.param(
            {"routing_key": ACCEPTED, "user": "orders-user", "source": "/payments"}, id="for another context"
        ),
        pytest.param({"routing_key": "inventory"}, id="retried by nobody"),
        pytest.param({"routing_key": "inventory", "user": "orders-user"}, id="retried by the announcer"),
        pytest.param({"routing_key": "inventory", "user": "payments-user"}, id="retried by another"),
        pytest.param(
            {"routing_key": "inventory", "user": "payments-user", "first": "orders-user"},
            id="requeued by another",
        ),
        pytest.param(
            {"routing_key": "inventory", "user": "inventory-user", "first": "payments-user"},
            id="requeued, and another's",
        ),
        pytest.param(
            {"routing_key": "inventory", "user": "inventory-user", "first": ""}, id="requeued, and nobody's"
        ),
    ],
)
def test_nobody_else_is_believed(settings: Settings, came: dict[str, Any]) -> None:
    settings.MICROWORKFLOWS = {"USERS": USERS}

    with pytest.raises(
        InvalidCloudEventError, match=r"was published by .*; MICROWORKFLOWS\['USERS'\] believes"
    ):
        _check(**came)


def test_context_without_a_user_is_not_believed(settings: Settings) -> None:
    settings.MICROWORKFLOWS = {"USERS": {"inventory": "inventory-user"}}

    with pytest.raises(InvalidCloudEventError, match=r"believes nobody"):
        _check(ACCEPTED, user="orders-user")


def test_embedded_broker_has_no_users(settings: Settings) -> None:
    settings.MICROWORKFLOWS = {"USERS": USERS}

    _check(ACCEPTED, embedded=True)


@pytest.mark.parametrize(
    ("url", "options", "user"),
    [
        ("amqp://orders:secret@host/shop", {}, "orders"),
        ("amqp://orders:secret@host/shop", {"login_method": "AMQPLAIN"}, "orders"),
        ("amqps://orders@host/shop", {"login_method": "EXTERNAL"}, "orders"),
        ("amqps://host/shop", {"login_method": "EXTERNAL"}, ""),
        ("amqp://host/shop", {}, "guest"),
        ("memory://orders@host/shop", {}, ""),
    ],
)
def test_login_is_what_the_url_says_and_unknown_where_a_certificate_says_it(
    url: str, options: dict[str, Any], user: str
) -> None:
    connection = Connection(url, **options)
    connection.userid = connection.userid or "guest"  # as Kombu does when it connects

    assert login(connection) == user
