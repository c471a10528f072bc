"""The journal's pages for those who do not see them, or have no mouse."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome

from microworkflows.journal.models import Flow
from tests.unit.accessibility import Reader
from tests.unit.journal.test_links import stuck  # noqa: F401  (a fixture)

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def reader(
    stuck: None,  # noqa: F811
    browser: Chrome,
    live_server: LiveServer,
    client: Client,
) -> Reader:
    client.force_login(User.objects.create(username="admin", is_staff=True, is_superuser=True))
    return Reader(browser, live_server.url, client)


def test_axe_finds_nothing_on_the_journals_pages(reader: Reader, request: pytest.FixtureRequest) -> None:
    journey = reverse("admin:microworkflows_journey", args=[Flow.objects.get().correlation_id])
    lists = [
        reverse(f"admin:microworkflows_journal_{name}_changelist") for name in ("flow", "alarm", "context")
    ]
    others = [reverse(f"admin:microworkflows_journal_{name}") for name in ("variants", "business")]
    views = [f"{journey}?view={view}" for view in ("timeline", "tree", "sequence", "table")]

    assert reader.complaints(["/admin/", *lists, *others, *views], request) == []


@pytest.mark.parametrize("name", ["flow_changelist", "context_changelist", "variants"])
def test_tab_key_reaches_everything_and_shows_where_it_is(reader: Reader, name: str) -> None:
    assert reader.unreachable(reverse(f"admin:microworkflows_journal_{name}")) == []
