"""The page of a problem shows no raw text, whatever is done on it."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from microworkflows.models import InboxEvent
from microworkflows.problems import replays
from tests.unit import pseudo_locale
from tests.unit.problems.conftest import Fail

pytestmark = pytest.mark.django_db

NAMES = (
    r"L-\d",
    "clerk",
    "glued",
    "torn",
    "ValueError",
)
"""What the rows of these tests name."""


@pytest.fixture
def clerk(client: Client) -> Client:
    """Somebody who may see and do everything."""
    client.force_login(User.objects.create(username="clerk", is_staff=True, is_superuser=True))
    return client


def test_problem_while_it_is_replayed(clerk: Client, fail: Fail, post: SimpleNamespace) -> None:
    torn = fail(ValueError("torn"), 3)
    name = torn[0].fingerprint

    def send(act: str, **given: str) -> Any:
        url = reverse(f"admin:microworkflows_problems_{act}", args=[name])
        return clerk.post(url, given, follow=True)

    with pseudo_locale.active():
        pages = [send("replay", per_second="1", why="glued")]
        replays.advance(["desk"])
        InboxEvent.objects.waiting().update(status=InboxEvent.Status.PARKED, retry=1)
        replays.advance(["desk"])
        pages += [send("stop"), send("assign", user="clerk"), send("dismiss", why="torn")]
        assert [found for page in pages for found in pseudo_locale.raw_content(page, *NAMES)] == []
