"""The queue of a context that is not live gets nothing; from the first live flow on it gets all that it needs."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from kombu import Connection
from pytest_django import Settings

from microworkflows import embedded, topology
from microworkflows.cutover.models import ContextMove
from microworkflows.errors import BrokerUnavailableError
from microworkflows.models import OutboxEvent
from microworkflows.relay import pipeline, publisher
from microworkflows.relay.loop import Relay
from microworkflows.relay.upkeep import Upkeep
from orders import operations
from tests.unit.cutover.conftest import CONTEXTS, Switch
from tests.unit.shop.conftest import Draft

Depths = Callable[[], dict[str, int]]


on_each_broker = pytest.mark.parametrize(
    "url", ["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)], indirect=True
)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty broker, the embedded one unless a test asks for each kind."""
    if getattr(request, "param", "") == "rabbitmq":
        return str(request.getfixturevalue("broker_url"))
    embedded.register()
    return f"embedded://{tmp_path / 'broker'}"


@pytest.fixture
def relay_all(url: str, workers: None) -> Iterator[Callable[[], None]]:
    """Yield a function by which the relays of all contexts bring what is recorded to the broker, as one process' would."""
    relays = [Relay(context, broker=lambda: Connection(url), stop=threading.Event()) for context in CONTEXTS]

    def relay() -> None:
        for each in relays:
            while each._relay_events():
                pass

    yield relay
    for each in relays:
        each._pipeline.close()


@pytest.fixture
def depths(url: str) -> Iterator[Depths]:
    """Yield a function that returns the number of messages in each queue."""
    with Connection(url) as connection:
        channel: Any = connection.channel()
        yield lambda: {
            label: channel.queue_declare(topology.name(label), passive=True).message_count
            for label in topology.queues()
        }


@on_each_broker
def test_queues_of_contexts_that_are_not_live_stay_empty(
    go: Switch, draft: Draft, relay_all: Callable[[], None], depths: Depths
) -> None:
    for _ in range(3):
        operations.place_order(order=draft())
    relay_all()

    found = depths()

    assert found.pop("monolith") == OutboxEvent.objects.count() > 0
    assert set(found.values()) == {0}


@on_each_broker
def test_queue_is_bound_before_the_first_live_event_leaves_and_stays_bound(
    go: Switch, draft: Draft, relay_all: Callable[[], None], depths: Depths
) -> None:
    operations.place_order(order=draft())
    relay_all()
    go("payments", "live", 100)
    operations.place_order(order=draft())
    relay_all()
    first = depths()
    go("payments", "inline")
    operations.place_order(order=draft())
    relay_all()

    assert (first["payments"], first["inventory"], first["shipping"]) == (1, 0, 0)
    assert depths()["payments"] == 2, "flows that began live may still need it"
    assert depths()["inventory"] == 0


def test_live_and_inline_events_of_one_batch_all_arrive(
    go: Switch, draft: Draft, relay_all: Callable[[], None], depths: Depths
) -> None:
    for percent in (None, 100):
        go("payments", "live" if percent else "inline", percent)
        operations.place_order(order=draft())

    relay_all()

    assert depths()["payments"] == 2


def test_own_worker_binds_its_queue(url: str, workers: None, depths: Depths) -> None:
    with Connection(url) as connection:
        topology.declare(connection.channel(), served=["payments"])
        accepted = "orders.order_accepted.v1"
        connection.Producer().publish("{}", exchange=topology.exchange_name(), routing_key=accepted)

    found = depths()

    assert (found["payments"], found["monolith"], found["inventory"]) == (1, 1, 0)


def test_queue_that_cannot_be_bound_holds_the_event_back(
    go: Switch, draft: Draft, relay_all: Callable[[], None], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations.place_order(order=draft())
    relay_all()
    go("payments", "live", 100)
    operations.place_order(order=draft())
    connect = publisher.connect

    def refusing(*args: Any, **options: Any) -> Any:
        made, missing = connect(*args, **options)
        monkeypatch.setattr(made, "mend", lambda served: Upkeep([], "ACCESS_REFUSED"))
        return made, missing

    relay = Relay("orders", broker=lambda: Connection(url), stop=threading.Event())
    monkeypatch.setattr(pipeline, "connect", refusing)
    with pytest.raises(BrokerUnavailableError, match="ACCESS_REFUSED"):
        relay._relay_events()
    relay._pipeline.close()

    assert OutboxEvent.objects.pending().exists()


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="nothing-is-handed-over"),
        pytest.param({"CUTOVER": ["payments"]}, id="announced-by-a-context-that-is-not"),
        pytest.param({"CUTOVER": CONTEXTS, "USERS": {"payments": "p"}}, id="an-administrator-binds"),
    ],
)
def test_everything_is_bound_at_once_where_others_may_publish(
    monolith: None, settings: Settings, given: dict[str, Any]
) -> None:
    settings.MICROWORKFLOWS = given

    keys = {bound.routing_key for bound in topology.queue("payments", late=False).bindings}

    assert "orders.order_accepted.v1" in keys
    assert topology.bound_late() == []


def test_everything_is_bound_once_a_context_has_a_database_of_its_own(
    draft: Draft, relay_all: Callable[[], None], depths: Depths, workers: None
) -> None:
    ContextMove.objects.create(
        context="shipping", target="there", step="moved", started_at=timezone.now(), changed_at=timezone.now()
    )
    operations.place_order(order=draft())

    relay_all()

    assert depths()["payments"] == 1
