"""The page of a problem shows no raw text, whatever is done on it."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from microworkflows.models import InboxEvent
from microworkflows.problems import replays
from tests.unit import pseudo_locale
from tests.unit.problems.conftest import Fail

pytestmark = pytest.mark.django_db

NAMES = (
    r"L-\d",
    "admin",
    "glued",
    "torn",
    "ValueError",
)
"""What the rows of these tests name."""


def test_problem_while_it_is_replayed(admin_client: Client, fail: Fail, post: SimpleNamespace) -> None:
    torn = fail(ValueError("torn"), 3)
    name = torn[0].fingerprint

    def send(act: str, **given: str) -> Any:
        url = reverse(f"admin:microworkflows_problems_{act}", args=[name])
        return admin_client.post(url, given, follow=True)

    with pseudo_locale.active():
        pages = [send("replay", per_second="1", why="glued")]
        replays.advance(["desk"])
        InboxEvent.objects.waiting().update(status=InboxEvent.Status.PARKED, retry=1)
        replays.advance(["desk"])
        pages += [send("stop"), send("assign", user="admin"), send("dismiss", why="torn")]
        assert [found for page in pages for found in pseudo_locale.raw_content(page, *NAMES)] == []
