"""In PostgreSQL, a role with the rights that the reference lists is enough for workers, relay, web server and commands."""

import re
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from microworkflows import heartbeats
from microworkflows.models import Heartbeat, InboxEvent, OutboxEvent
from microworkflows.relay import store
from microworkflows.testing import Flow
from tests.architecture.files import ROOT

pytestmark = pytest.mark.postgres


@pytest.fixture
def least_rights(db: None) -> Iterator[None]:
    """Act as a role that owns nothing and has what the page grants."""
    page = (ROOT / "docs/reference/permissions.md").read_text()
    rows = re.findall(r"^\| (`SELECT`.*?) \| (.*?) \|", page, re.MULTILINE)
    role = f"least_{uuid4().hex}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role}")  # it goes with the test's transaction
        for rights, tables in ((re.findall(r"`(\w+)`", cell) for cell in row) for row in rows):
            cursor.execute(f"GRANT {', '.join(rights)} ON {', '.join(tables)} TO {role}")
        cursor.execute(f"SET ROLE {role}")
        yield
        cursor.execute("RESET ROLE")


def test_listed_rights_are_enough(
    least_rights: None, post: SimpleNamespace, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    post.fail = ValueError("later")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(contexts=["desk"], keep_failures=True)
    post.fail = None
    due = store.due_retries("desk", limit=10, now=timezone.now() + timedelta(hours=1))
    flow.retry()
    flow.run()  # only what is finished is purged
    process = heartbeats.Process(worker="desk@here", host="here", pid=1, started_at=timezone.now())
    heartbeats.note(process, depths={"desk": 0}, handling=0)
    heartbeats.note(process, depths={"desk": 3}, handling=1)
    age = timezone.now() - timedelta(days=40)
    OutboxEvent.objects.update(added=age)
    InboxEvent.objects.update(added=age, expires_at=age)

    call_command("erase", subjects=["desk.letter:1"], why="a test")
    for command in ("parked", "unheard", "unreceived", "purge_events"):
        call_command(command)

    assert len(due) == 1
    assert Heartbeat.objects.get().depth == 3
    assert not InboxEvent.objects.exists()
    assert "Deleted" in capsys.readouterr().out
