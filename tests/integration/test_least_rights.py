"""Each context with a user of its own at the broker: what these users declare, and what is said where they may not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import override_settings
from kombu import Connection
from pytest_django import Settings

from microworkflows import definitions, registry, topology
from microworkflows.errors import BrokerUnavailableError, ForeignQueueError, TopologyError
from microworkflows.relay import publisher
from tests import servers
from tests.integration.conftest import StartRelay
from tests.integration.support import probing
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.proxy import Proxy
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.rabbitmq]

PASSWORD = "for-this-test-only"


@pytest.fixture(scope="module")
def administrator() -> Iterator[Broker]:
    """Yield a virtual host with a user for each of the two contexts, with the rights that the kit defines."""
    server = servers.rabbitmq()
    url = server.make_vhost()
    with probing.declared():
        users = {name: _user(name) for name in registry.contexts()}
        with override_settings(MICROWORKFLOWS={"USERS": users}):
            found = definitions.definitions(vhost=_vhost(url))
    named = [{"name": name, "password": PASSWORD, "tags": []} for name in users.values()]
    server.define(users=named, **found)
    yield Broker(url)
    for name in users.values():
        server.delete("users", name)
    server.delete_vhost(url)


@pytest.fixture
def shop(administrator: Broker, probe: None, settings: Settings) -> Broker:
    """Return the virtual host with all that the contexts share, and nothing in it."""
    with administrator.channel() as channel:
        for name in topology.queues():
            channel.queue_delete(name)
            channel.queue_delete(topology.dead_letter_name(name))
            channel.exchange_delete(topology.owner_name(name))
        channel.exchange_delete("microworkflows")
    settings.MICROWORKFLOWS = {}
    administrator.declare()
    settings.MICROWORKFLOWS = {"USERS": {name: _user(name) for name in registry.contexts()}}
    return administrator


def _vhost(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _user(context: str) -> str:
    return f"{servers.RUN}_{context}"


@pytest.fixture
def own(shop: Broker) -> Iterator[Connection]:
    """Yield a connection of the context ``probe``, and know of that context alone, as its service does."""
    with registry.isolated():
        announced, workflows = registry.announcements(), registry.workflows()
        registry.clear()
        for event in announced:
            registry.add_announcement(event)
        for workflow in workflows:
            if workflow.context == "probe":
                registry.add_workflow(workflow)
        with _connection(shop, "probe") as connection:
            yield connection


def _connection(broker: Broker, context: str) -> Connection:
    server = urlsplit(broker.url)
    at = server.netloc.rpartition("@")[2]
    return Connection(server._replace(netloc=f"{_user(context)}:{PASSWORD}@{at}").geturl())


@pytest.mark.parametrize("lost", ["binding", None])
def test_user_finds_what_is_there_and_binds_its_queue(
    own: Connection, shop: Broker, lost: str | None
) -> None:
    if lost:
        with shop.channel() as channel:
            channel.queue_unbind("probe", "microworkflows", "probe.asked.v1")

    topology.declare(own.channel())

    shop.publish("{}", exchange="microworkflows", queue="probe.asked.v1")
    assert shop.take("probe", 1)


@pytest.mark.parametrize("lost", ["probe", "probe.dead", "microworkflows"])
def test_user_says_what_is_missing_and_who_must_declare_it(own: Connection, shop: Broker, lost: str) -> None:
    with shop.channel() as channel:
        (channel.exchange_delete if lost == "microworkflows" else channel.queue_delete)(lost)
    refused: Any = own.channel()

    with pytest.raises(
        TopologyError, match=rf"{lost}' is missing.*administrator.*broker_definitions"
    ) as told:
        topology.declare(refused)

    assert f"refused for user '{_user('probe')}'" in str(told.value)
    assert refused.is_open


def test_relay_says_so_too_and_waits(own: Connection, shop: Broker) -> None:
    with shop.channel() as channel:
        channel.queue_delete("probe")

    with pytest.raises(BrokerUnavailableError, match="'probe' is missing"):
        publisher.connect(own, name="probe", waits=lambda: True)


def test_user_says_which_key_it_may_not_bind_to(own: Connection, shop: Broker) -> None:
    """As after a new subscription to which nobody has given the right."""
    (may,) = [
        one
        for one in definitions.definitions(vhost=_vhost(shop.url))["topic_permissions"]
        if one["user"] == _user("probe")
    ]
    servers.rabbitmq().define(topic_permissions=[{**may, "read": r"^probe(\.dead)?$"}])

    try:
        with pytest.raises(
            TopologyError, match=r"'probe' may not be bound to 'probe.asked.v1'.*administrator"
        ):
            topology.declare(own.channel())
    finally:
        servers.rabbitmq().define(topic_permissions=[may])


def test_user_of_few_rights_may_do_without_the_setting(
    own: Connection, shop: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {}

    topology.declare(own.channel())


def test_user_with_the_right_declares_what_is_missing(shop: Broker) -> None:
    with shop.channel() as channel:
        channel.exchange_delete("microworkflows")
        channel.queue_delete("probe")

    shop.declare()

    shop.publish("{}", exchange="microworkflows", queue="probe.asked.v1")
    assert shop.take("probe", 1)


@pytest.mark.postgres
def test_relay_names_its_user_in_every_message(relay: StartRelay, shop: Broker, own: Connection) -> None:
    ask()

    relay(own.as_uri(include_password=True))

    (message,) = shop.take("probe", 1)
    assert message.properties["user_id"] == _user("probe")


@pytest.mark.slow
@pytest.mark.postgres
def test_worker_says_what_is_missing_and_ends_at_its_start_and_waits_if_it_has_worked(
    shop: Broker, database: str, settings: Settings, tmp_path: Path
) -> None:
    """As for a queue with other arguments: only an administrator can mend it, and whoever starts workers must see it."""
    url = _connection(shop, "probe").as_uri(include_password=True)
    server = urlsplit(url)
    own_names: dict[str, Any] = {
        "CELERY_CONTROL_EXCHANGE": "probe",
        "CELERY_EVENT_EXCHANGE": "probe.celeryev",
        "CELERY_EVENT_QUEUE_PREFIX": "probe.celeryev",
    }
    launcher = Launcher(
        tmp_path, database=database, broker=url, MICROWORKFLOWS=settings.MICROWORKFLOWS, **own_names
    )
    try:
        with Proxy(server.hostname or "", server.port or 5672) as proxy:
            # The other context is installed there, too, and its queue is not this user's to bind.
            through = server._replace(netloc=f"{server.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}")
            worked = launcher.worker("probe", name="before", environment={"BROKER_URL": through.geturl()})
            with shop.channel() as channel:
                channel.queue_delete("echo.dead")
            worker = launcher.worker("probe", wait=False)
            assert worker.wait() != 0
            proxy.cut()
            worked.says("The queue 'echo.dead' is missing, and this user may not declare it")
            settings.MICROWORKFLOWS = {}
            shop.declare()
            ask()
            eventually(lambda: len(effects()) == 1, what="the effect in a worker that is back")
            assert worked.status is None
    finally:
        launcher.end()

    assert "The queue 'echo.dead' is missing, and this user may not declare it" in worker.output
    assert "rabbitmqctl import_definitions" in worker.output


def test_user_is_told_that_its_queue_is_another_projects(
    own: Connection, shop: Broker, settings: Settings
) -> None:
    with shop.channel() as channel:
        channel.exchange_delete("probe.owner")
    users = settings.MICROWORKFLOWS
    settings.MICROWORKFLOWS = {"EXCHANGE": "another"}
    with shop.channel() as channel:
        topology.owner("probe")(channel).declare()
    settings.MICROWORKFLOWS = users

    with pytest.raises(ForeignQueueError, match="'probe' belongs to another project"):
        topology.declare(own.channel())


def test_user_with_the_rights_of_an_earlier_version_works_and_says_what_it_cannot_tell(
    own: Connection, shop: Broker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "_unclaimed", set())
    (may,) = [
        one
        for one in definitions.definitions(vhost=_vhost(shop.url))["permissions"]
        if one["user"] == _user("probe")
    ]
    servers.rabbitmq().define(permissions=[{**may, "configure": "^$"}])

    try:
        topology.declare(own.channel())
        topology.declare(own.channel())
    finally:
        servers.rabbitmq().define(permissions=[may])

    (told,) = [record.getMessage() for record in caplog.records if "nobody can tell" in record.getMessage()]
    assert "'probe' belongs to another project" in told
    assert "broker_definitions" in told
