"""The contexts on the admin's first page, from this database's heartbeats: a worker that is gone is seen, and the unknown is not good."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from microworkflows import heartbeats
from microworkflows.admin import contexts
from microworkflows.admin.contexts import Cell
from microworkflows.heartbeats import Process
from microworkflows.models import Heartbeat

Login = Callable[..., Client]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contexts, "_sources", [])


def beat(queue: str, *, depth: int | None = 3) -> Process:
    process = Process(worker=f"{queue}@host", host="host", pid=7, started_at=timezone.now())
    heartbeats.note(process, depths={queue: depth}, handling=2)
    return process


def cells(client: Client) -> dict[str, tuple[Cell, ...]]:
    request = RequestFactory().get("/")
    request.user = client.get(reverse("admin:index")).wsgi_request.user
    table = contexts.table(request)
    assert table is not None
    return {row.context: row.cells for row in table.rows}


def test_worker_that_lives_is_shown_with_its_queue(post: SimpleNamespace, admin_client: Client) -> None:
    beat("desk")

    worker, depth, handling = cells(admin_client)["desk"]

    assert (worker.text.partition(" since")[0], worker.tone) == ("alive", "good")
    assert (depth.text, handling.text) == ("3", "2")
    assert depth.url == "/admin/microworkflows/inboxevent/?context=desk"


def test_worker_that_was_stopped_or_killed_is_shown_with_the_command_that_starts_it(
    post: SimpleNamespace, admin_client: Client
) -> None:
    heartbeats.note_stop(beat("desk"))
    beat("archive")
    Heartbeat.objects.filter(queue="archive").update(seen_at=timezone.now() - timedelta(seconds=40))

    found = cells(admin_client)

    for context, word in (("desk", "stopped"), ("archive", "silent")):
        worker, depth, handling = found[context]
        assert (worker.text.partition(" since")[0], worker.tone) == (word, "bad")
        assert f"celery -A project worker -Q {context}" in worker.title
        assert depth.text == handling.text == "unknown"


def test_worker_that_was_never_seen_is_unknown(post: SimpleNamespace, admin_client: Client) -> None:
    beat("desk", depth=None)

    found = cells(admin_client)

    assert [cell.text for cell in found["archive"]] == ["unknown"] * 3
    assert found["desk"][1].text == "unknown"


def test_first_page_shows_the_table_and_polls_it(post: SimpleNamespace, admin_client: Client) -> None:
    beat("desk")
    fragment = reverse("admin:microworkflows_contexts")

    page = admin_client.get(reverse("admin:index")).content.decode()
    first = admin_client.get(fragment)
    again = admin_client.get(fragment, headers={"If-None-Match": first.headers["ETag"]})
    beat("desk", depth=9)
    changed = admin_client.get(fragment, headers={"If-None-Match": first.headers["ETag"]})

    assert f'data-mw-journey="{fragment}"' in page
    assert 'data-mw-part="contexts"' in page
    assert (again.status_code, changed.status_code) == (304, 200)
    assert "mw-badge--good" in changed.content.decode()


def test_table_is_for_those_who_may_see_the_messages(post: SimpleNamespace, login: Login) -> None:
    client = login()

    assert "mw-contexts" not in client.get(reverse("admin:index")).content.decode()
    assert "<table>" not in client.get(reverse("admin:microworkflows_contexts")).content.decode()


def test_guest_that_knows_more_fills_the_table(post: SimpleNamespace, admin_client: Client) -> None:
    row = contexts.Row(context="elsewhere", cells=(Cell(text="far away"),))
    contexts.fill(lambda request: contexts.Table(columns=("place",), rows=(row,)))

    page = admin_client.get(reverse("admin:index")).content.decode()

    assert "far away" in page
    assert '<th scope="row">desk' not in page
