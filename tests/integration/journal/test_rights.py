"""Least rights at the broker: every context's user reports to the journal, and the collecting one alone reads what they say."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from amqp.exceptions import AccessRefused
from django.test import override_settings
from kombu import Connection
from pytest_django import Settings

from microworkflows import definitions, registry
from microworkflows.journal import broker, reporter
from microworkflows.journal.notices import Kind
from tests import servers
from tests.integration.support import probing

pytestmark = [pytest.mark.rabbitmq]

PASSWORD = "for-this-test-only"


@pytest.fixture
def vhost(probe: None) -> Iterator[str]:
    """Yield the URL of a virtual host with a user for each of the two contexts; ``echo`` collects."""
    server = servers.rabbitmq()
    url = server.make_vhost()
    name = urlsplit(url).path.removeprefix("/")
    with probing.declared():
        users = {context: f"{servers.RUN}_journal_{context}" for context in registry.contexts()}
        with override_settings(MICROWORKFLOWS={"USERS": users, "JOURNAL_COLLECTOR": "echo"}):
            found = definitions.definitions(vhost=name)
    named = [{"name": user, "password": PASSWORD, "tags": []} for user in users.values()]
    server.define(users=named, **found)
    yield url
    for user in users.values():
        server.delete("users", user)
    server.delete_vhost(url)


def _connection(url: str, context: str) -> Connection:
    server = urlsplit(url)
    at = server.netloc.rpartition("@")[2]
    login = f"{servers.RUN}_journal_{context}:{PASSWORD}"
    return Connection(
        server._replace(netloc=f"{login}@{at}").geturl(), transport_options={"confirm_publish": True}
    )


def test_everybody_reports_and_the_collecting_user_alone_reads(
    vhost: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MICROWORKFLOWS = {"USERS": {"probe": "p", "echo": "e"}, "JOURNAL_COLLECTOR": "echo"}
    monkeypatch.setattr(reporter.Reporter, "_start", lambda self: None)
    reports = reporter.Reporter()
    with _connection(vhost, "probe") as own:
        monkeypatch.setattr(broker, "connect", lambda **_: own)
        reports.begin("pool", name="probe@host 1")
        reports.tell(Kind.ALIVE, dict)
        reports.go_round()
        assert not reports._buffer, "the broker has confirmed it"

        with pytest.raises(AccessRefused):
            broker.queue()(own.channel()).get()

    with _connection(vhost, "echo") as collector:
        message = broker.queue()(collector.channel()).get(no_ack=True)
    assert message is not None
    assert "probe@host 1" in str(message.body)
