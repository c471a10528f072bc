"""``manage.py topology`` on the embedded broker; on RabbitMQ: tests/integration/test_topology.py."""

import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from celery import current_app
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags
from kombu import Connection

from microworkflows import actual, celery_app, declared, microworkflow, pruning, registry, times, topology
from microworkflows.admin import counts
from microworkflows.dead_letters import connected
from microworkflows.errors import PermanentError
from microworkflows.models import DeclaredBinding, Heartbeat, InboxEvent, OutboxEvent
from microworkflows.testing import Flow

QUEUES = ["desk", "archive", "letters"]
WRITTEN, STAMPED = "letters.letter_written.v1", "desk.letter_stamped.v1"
Run = Callable[..., str]


@pytest.fixture
def deployed(post: SimpleNamespace, db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Declare the post's queues and note it, as a worker does; all is gone after the test."""
    monkeypatch.setattr(pruning, "_SETTLES_SECONDS", 0.0)
    with current_app.connection_for_write() as connection:
        channel: Any = connection.channel()
        topology.declare(channel)
        declared.note(topology.bindings(served=topology.queues()))
        post.channel = channel
        yield post
        for queue in QUEUES:
            for name in (queue, f"{queue}.dead"):
                channel.queue_delete(name)
            channel.exchange_delete(f"{queue}.owner")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        try:
            call_command("topology", *arguments)
        except CommandError as error:
            if code != error.returncode:
                raise
            return f"{capsys.readouterr().out}{error}"
        assert code == 0
        return capsys.readouterr().out

    return run


def archive_is_gone(post: SimpleNamespace) -> None:
    """Go on with the code of a release in which the archive's app is gone."""
    registry.clear()
    for event in (post.LetterWritten, post.LetterStamped):
        registry.add_announcement(event)
    registry.add_workflow(post.stamp_letter)


def nobody_lives() -> None:
    """Let the processes that declared have ended four minutes ago."""
    DeclaredBinding.objects.update(declared_at=times.stored(times.aware(times.now()) - timedelta(minutes=4)))


def put(post: SimpleNamespace, queue: str) -> None:
    post.channel.basic_publish(post.channel.prepare_message("{}"), exchange="", routing_key=queue)


def test_what_is_as_declared_is_shown_with_depths_and_consumers(deployed: SimpleNamespace, run: Run) -> None:
    put(deployed, "desk")
    now = times.now()
    Heartbeat.objects.create(
        queue="desk", worker="desk@here", host="here", pid=1, started_at=now, seen_at=now, handling=0
    )

    shown = run()

    assert "exchange microworkflows; bindings by the broker" in shown
    assert f"desk: 1 messages, of unknown age, 1 consumers\n    {WRITTEN}\n" in shown
    assert f"archive: 0 messages, 0 consumers\n    {STAMPED}\n" in shown
    assert "left behind" not in shown
    assert "This code changes nothing at the broker.\n" in run("--plan")
    assert run("desk", "--prune") == "Nothing is left behind at the broker.\n"
    told = json.loads(run("desk", "--format", "json"))
    assert [queue["name"] for queue in told["queues"]] == ["desk", "desk.dead"]
    assert [binding["state"] for binding in told["queues"][0]["bindings"]] == ["as declared"] * 2


def test_plan_names_what_is_to_come_and_what_is_left_behind_and_who_keeps_it(
    deployed: SimpleNamespace, run: Run
) -> None:
    archive_is_gone(deployed)
    microworkflow(on=deployed.LetterStamped, context="desk")(note_stamp)

    plan = run("--plan")

    assert f"desk: 0 messages, 0 consumers\n  + {STAMPED}  to come\n" in plan
    assert "archive: 0 messages, 0 consumers; left behind, kept by a process that lives\n" in plan
    assert f"  ~ {STAMPED}  kept, declared last 20" in plan
    assert "letters" not in plan
    nobody_lives()
    assert f"  - {STAMPED}  left behind, declared last 20" in run("--plan")
    assert "Something is left behind: see" in run(code=1)


def test_prune_leaves_alone_what_a_process_declares_and_what_has_messages_or_consumers(
    deployed: SimpleNamespace, run: Run
) -> None:
    archive_is_gone(deployed)

    refused = run("--prune", "--yes", code=1)

    assert f"archive stays bound to {STAMPED}: a process that lives declares it" in refused
    assert "archive stays: a process that lives declares it" in refused
    nobody_lives()
    put(deployed, "archive")
    refused = run("--prune", "--yes", code=1)
    assert f"archive is no longer bound to {STAMPED}." in refused
    assert "archive stays: 1 messages wait there, and it has 0 consumers" in refused
    assert "archive: 1 messages, of unknown age, 0 consumers; left behind" in run(code=1)
    now = times.now()
    Heartbeat.objects.create(
        queue="archive", worker="a@here", host="here", pid=1, started_at=now, seen_at=now, handling=0
    )
    assert "it has 1 consumers" in run("--prune", "--drop-messages", "--yes", code=1)
    Heartbeat.objects.all().delete()

    assert "1 messages of archive were deleted" in run("--prune", "--drop-messages", "--yes")

    assert DeclaredBinding.objects.filter(queue__startswith="archive").count() == 0
    assert "archive" not in run()
    assert deployed.channel.get_table("archive.owner") == []
    assert "No such context: archive" in run("archive", code=2)


def test_prune_asks_first_and_a_binding_of_a_consumer_that_is_gone_is_all_that_goes(
    deployed: SimpleNamespace, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    microworkflow(on=deployed.LetterStamped, context="desk")(note_stamp)
    topology.declare(deployed.channel)
    declared.note(topology.bindings())
    registry._workflows.pop()
    nobody_lives()
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))

    assert "Nothing was changed" in run("--prune", code=1)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "Nothing was changed" in run("--prune", code=1)
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    shown = run("--prune")

    assert f"desk is no longer bound to {STAMPED}." in shown
    assert "deleted" not in shown
    assert deployed.channel.route("microworkflows", STAMPED) == ["archive"]
    assert deployed.channel.route("microworkflows", WRITTEN) == ["desk"]
    run()


def test_messages_in_a_queue_that_is_left_behind_are_counted_on_the_first_page(
    deployed: SimpleNamespace, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert counts.left_behind() is None
    archive_is_gone(deployed)
    put(deployed, "archive")

    page = " ".join(strip_tags(admin_client.get(reverse("admin:index")).content.decode()).split())

    assert "1 left behind" in page
    app = SimpleNamespace(connection_for_read=lambda **_: Connection("amqp://guest:guest@127.0.0.1:9//"))
    monkeypatch.setattr(celery_app, "get", lambda: app)
    assert (found := counts.left_behind()) is not None
    assert found.number is None
    assert "the broker is away" in found.meaning


def test_messages_that_come_meanwhile_keep_their_queue(deployed: SimpleNamespace, run: Run) -> None:
    archive_is_gone(deployed)
    nobody_lives()
    with connected() as connection:
        planned = pruning.plan(actual.look(connection))
        put(deployed, "archive")

        stays = pruning.prune(connection, planned, say=str)

        assert stays == ["archive stays: meanwhile 1 messages wait there, and it has 0 consumers"]
        assert actual.load(connection, "archive") == (1, 0)


def test_age_of_the_oldest_message_is_told_from_the_outbox(
    deployed: SimpleNamespace, run: Run, flow: Flow
) -> None:
    for _ in range(3):
        flow.record(deployed.LetterWritten(letter_id=uuid4()))
    OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)
    put(deployed, "desk")

    assert "desk: 1 messages, the oldest about " in run("desk")


def test_rows_of_what_is_gone_are_named_and_can_be_dismissed(
    deployed: SimpleNamespace, run: Run, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.fail = PermanentError("no such letter")
    flow.record(deployed.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    flow.record(deployed.LetterWritten(letter_id=uuid4()))
    registry.clear()
    registry.add_workflow(deployed.file_letter)
    for queue in ("desk", "desk.dead", "letters", "letters.dead"):
        deployed.channel.queue_delete(queue)

    shown = run(code=1)

    assert "1 parked of desk.stamp_letter, which is not installed here" in shown
    assert "1 pending of letters, which is not installed here" in shown
    call_command("dismiss", "--microworkflow", "desk.stamp_letter", "--why", "the desk is closed")
    assert not InboxEvent.objects.failing().exists()
    assert "desk.stamp_letter" not in run(code=1)
    for name in ("desk.stamp", "dsek"):
        with pytest.raises(CommandError, match="No such microworkflow: "):
            call_command("parked", "--microworkflow", name)


def test_definitions_of_rabbitmq_tell_what_no_process_is_on_record_for(
    deployed: SimpleNamespace, run: Run, tmp_path: Path
) -> None:
    DeclaredBinding.objects.all().delete()
    archive_is_gone(deployed)
    bound = [
        {"source": source, "destination": queue, "destination_type": kind, "routing_key": key}
        for source, queue, kind, key in (
            ("microworkflows", "desk", "queue", STAMPED),
            ("microworkflows", "archive", "queue", STAMPED),
            ("microworkflows", "copy", "exchange", "#"),
            ("elsewhere", "desk", "queue", "other"),
        )
    ]
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps({"bindings": bound}))

    shown = run("--definitions", str(file), code=1)

    assert f"  - {STAMPED}  left behind" in shown
    assert f"  + {WRITTEN}  to come" in shown
    assert "bound by others: archive" in shown
    assert "archive: 0 messages, 0 consumers; left behind" in run(
        "archive", "--definitions", str(file), code=1
    )
    file.write_text("{}")
    with pytest.raises(CommandError, match="does not hold RabbitMQ's definitions"):
        run("--definitions", str(file))


def test_record_is_the_source_where_the_broker_lists_nothing(
    deployed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microworkflows.embedded.transport.Transport.driver_type", "amqp")
    with connected() as connection:
        found = actual.look(connection)
        DeclaredBinding.objects.all().delete()
        empty = actual.look(connection)

    assert found.bindings_from.startswith("this database's record, which is kept since 20")
    assert {each.state for queue in found.queues for each in queue.bindings} == {"as declared"}
    assert empty.bindings_from.endswith("is empty")
    assert {each.state for queue in empty.queues for each in queue.bindings} == {"to come"}


def note_stamp(event: Any) -> None:
    """Handle a stamped letter, for declarations made here."""
