"""Years of change on real servers: a consumer is renamed, another one goes, and then a whole app, while old code runs beside new."""

import json
from datetime import timedelta

import pytest
from django.db import ProgrammingError, transaction
from django.utils import timezone

from microworkflows import actual, declared, failures, outbox, pruning, registry, topology
from microworkflows.cloudevents import CloudEvent
from microworkflows.models import DeclaredBinding, InboxEvent, OutboxEvent
from tests.integration import settings as probe_settings
from tests.integration.conftest import StartRelay
from tests.integration.probe.events import Noted
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, cloud_event, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

OTHERS = [app for app in probe_settings.INSTALLED_APPS if not app.startswith("tests.")]
LATER = ["tests.integration.later.probe", "tests.integration.later.echo", *OTHERS]
LATEST = ["tests.integration.later.probe", *OTHERS]
NOTED = Noted.event_type


def nobody_lives() -> None:
    """Let the processes that declared have ended four minutes ago."""
    DeclaredBinding.objects.update(declared_at=timezone.now() - timedelta(minutes=4))


def test_rabbitmq_forgets_what_is_left_behind_once_it_is_empty(
    database: str, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kombu import Connection

    monkeypatch.setattr(pruning, "_SETTLES_SECONDS", 0.1)
    declared.note(topology.bindings())
    nobody_lives()
    broker.publish("{}", queue="echo")
    registry._workflows[:] = [workflow for workflow in registry.workflows() if workflow.context != "echo"]

    with Connection(broker.url) as connection:
        full = pruning.plan(actual.look(connection))
        assert "echo stays: 1 messages wait there, and it has 0 consumers" in full.held_back
        assert pruning.prune(connection, full, say=str) == []
        broker.take("echo", 1)
        empty = pruning.plan(actual.look(connection))
        assert ([queue.name for queue in empty.delete], empty.unbind) == (["echo"], [])
        assert pruning.prune(connection, empty, say=str) == []
        found = actual.look(connection)

    assert broker.count("echo") == broker.count("echo.dead") == -1
    assert [queue.name for queue in found.queues] == ["probe", "probe.dead"]
    assert broker.count("probe") == 0


def test_relay_notes_what_it_declares_and_relays_on_where_it_may_not(
    relay: StartRelay,
    database: str,
    broker: Broker,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = relay(broker.url)

    eventually(lambda: {each.bound for each in declared.recorded()} == set(topology.bindings()))
    running.stop()
    assert all(each.is_kept for each in declared.recorded())

    def refuse(bindings: object) -> None:
        raise ProgrammingError("permission denied for table microworkflows_declaredbinding")

    monkeypatch.setattr(declared, "note", refuse)
    relay(broker.url)
    ask()
    eventually(lambda: broker.count("probe") == 1, what="the event")
    assert caplog.text.count("cannot note what it declares at the broker") == 1


@pytest.mark.slow
def test_renamed_consumer_removed_consumer_and_removed_app_leave_nothing_behind_and_lose_nothing(
    launch: Launcher, broker: Broker
) -> None:
    waiting = json.loads(cloud_event())
    failures.keep("probe.answer", CloudEvent.from_dict(waiting), RuntimeError("failed on purpose"))
    ask(10)
    old = launch.worker("probe,echo")
    new = launch.worker("probe,echo", INSTALLED_APPS=LATER)
    ask(20, start=10)

    eventually(lambda: len(effects()) == 31, what="each event handled once by either code")
    eventually(lambda: len(effects("echo.hear")) == 30)
    assert not InboxEvent.objects.failing().exists()
    plan = launch.run("topology", "--plan", INSTALLED_APPS=LATER)
    assert f"  ~ {NOTED}  kept" in plan
    old.stop()

    with transaction.atomic():  # before the prune, the old binding brings it: new code keeps it
        outbox.record(Noted(number=1))
    eventually(lambda: InboxEvent.objects.parked().count() == 1)
    nobody_lives()
    assert f"echo is no longer bound to {NOTED}" in launch.run(
        "topology", "--prune", "--yes", INSTALLED_APPS=LATER
    )
    assert "1 messages were dismissed" in launch.run(
        "dismiss", "--microworkflow", "echo", "--why", "nobody notes any more", INSTALLED_APPS=LATER
    )
    assert "left behind" not in launch.run("topology", INSTALLED_APPS=LATER)

    new.stop()
    nobody_lives()
    last = launch.worker("probe", INSTALLED_APPS=LATEST)
    ask(5, start=30)
    eventually(lambda: len(effects()) == 36)
    drained = launch.manage("topology", "--prune", "--yes", INSTALLED_APPS=LATEST)
    assert drained.wait(timeout=60) == 1
    assert "messages wait there" in drained.output
    broker.take("echo", 1)
    launch.run("topology", "--prune", "--yes", INSTALLED_APPS=LATEST)

    assert "echo" not in launch.run("topology", INSTALLED_APPS=LATEST)
    ask(5, start=35)
    eventually(lambda: len(effects()) == 41)
    assert not InboxEvent.objects.failing().exists()
    assert OutboxEvent.objects.exclude(status=OutboxEvent.Status.RELAYED).count() == 0
    assert "0 deliveries are missing" in launch.run("unreceived", "--minutes", "0", INSTALLED_APPS=LATEST)
    assert last.status is None
