"""The cut-over's pages for those who do not see them, or have no mouse."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome

from tests.unit.accessibility import Reader
from tests.unit.cutover.test_links import handed_over  # noqa: F401  (a fixture)

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PAGE = "admin:microworkflows_cutover_contextmode_changelist"


@pytest.fixture
def reader(
    handed_over: None,  # noqa: F811
    browser: Chrome,
    live_server: LiveServer,
    client: Client,
) -> Reader:
    client.force_login(User.objects.create(username="admin", is_staff=True, is_superuser=True))
    return Reader(browser, live_server.url, client)


def test_axe_finds_nothing_on_the_cut_overs_pages(reader: Reader, request: pytest.FixtureRequest) -> None:
    own = [url for url in reader.pages(reverse(PAGE)) if "/microworkflows_cutover/" in url]

    assert len(own) > 4
    assert reader.complaints(own, request) == []


def test_tab_key_reaches_everything_and_shows_where_it_is(reader: Reader) -> None:
    assert reader.unreachable(reverse(PAGE)) == []
