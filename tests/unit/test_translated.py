"""Every text of the admin goes through gettext: in a language that marks what does, no page shows a text without a mark."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.utils.translation import gettext, ngettext, pgettext

from microworkflows import registry
from tests.unit import crawling, pseudo_locale
from tests.unit.cutover.conftest import go, monolith, workers  # noqa: F401  (fixtures)
from tests.unit.cutover.test_links import handed_over  # noqa: F401  (a fixture)
from tests.unit.journal.test_links import stuck  # noqa: F401  (a fixture)
from tests.unit.shop.conftest import draft, shop  # noqa: F401  (fixtures)
from tests.unit.shop.test_links import orders  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db

NAMES = ["UTC", "SKU", "JSON", "CSV", "PostgreSQL", "RabbitMQ", "SQLite", "CloudEvents", "ms"]
"""What is called so in every language, and units."""


def test_text_that_nobody_can_translate_is_found() -> None:
    with pseudo_locale.active():
        one, sentence = gettext("Save"), gettext("Press %(name)s now") % {"name": "<b>any key</b>"}
        page = f"<p title='Help'>{one} 7 {sentence} or <i>wait</i></p><input type='submit' value='Go'>"
        counted = ngettext("%(number)s row", "%(number)s rows", 2) % {"number": 2}
        named = f"<p>{pgettext('month', 'May')} {counted} A-000001 payments.take_payment</p>"

    assert pseudo_locale.untranslated(page) == ["Help", "or", "wait", "Go"]
    assert pseudo_locale.untranslated(named, data=["A-000001"]) == ["payments.take_payment"]
    assert pseudo_locale.untranslated(named, data=["A-000001", "payments.take_payment"]) == []


@pytest.mark.parametrize("world", ["orders", "stuck", "handed_over"])
def test_every_text_of_every_page_can_be_translated(
    world: str, client: Client, admin_user: User, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(world)
    client.force_login(admin_user)
    opened: list[str] = []
    assert crawling.refused(client, "/admin/", opened=opened) == []
    data = [*NAMES, *_data()]

    found: dict[str, str] = {}
    with pseudo_locale.active():
        for url in opened:
            html = client.get(url, follow=True).content.decode()
            for text in pseudo_locale.untranslated(html, data=data):
                found.setdefault(text, url)

    assert [f"{text!r} on {url}" for text, url in found.items()] == []


def _data() -> Iterator[str]:
    """Yield what is no text: values of rows, and names of what the code declares."""
    for model in apps.get_models():
        for row in model._default_manager.values():
            yield from _strings(row)
    for event in (*registry.announcements(), *registry.readings()):
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", event.__name__)
        yield from (event.event_type, event.__name__, words.capitalize())
    for workflow in registry.workflows():
        yield from (workflow.label, workflow.name, workflow.context)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from (name, *_strings(each))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, str):
        yield from (value, *value.splitlines())
