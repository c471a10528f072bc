"""Each text of the admin is translated: in an invented language, the pages show nothing but marked texts, names and values."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.translation import gettext, gettext_lazy, ngettext, pgettext

from tests.unit import pseudo_locale
from tests.unit.cutover.conftest import go, monolith, workers  # noqa: F401  (fixtures)
from tests.unit.cutover.test_links import handed_over  # noqa: F401  (a fixture)
from tests.unit.journal.test_links import stuck  # noqa: F401  (a fixture)
from tests.unit.shop.conftest import draft, shop  # noqa: F401  (fixtures)
from tests.unit.shop.test_links import orders  # noqa: F401  (a fixture)

NAMES = (
    "admin",
    "ada",
    "the bank is closed",
    "this provider has no such account",
    "PermanentError",
    "Sample Customer",
    "Example Street 1",
    "Berlin",
    "DE",
    "tok_[a-z]+",
    "[A-Z]+(-[A-Z0-9]+)+",  # articles
)
"""What the fixtures' people typed."""


@pytest.fixture
def client(client: Client, db: None) -> Client:
    """Somebody who may see and do everything."""
    client.force_login(User.objects.create(username="admin", is_staff=True, is_superuser=True))
    return client


@pytest.mark.parametrize("world", ["orders", "stuck", "handed_over"])
def test_no_page_shows_a_raw_text(client: Client, world: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(world)

    assert pseudo_locale.raw_pages(client, "/admin/", data=NAMES) == {}


def test_raw_word_is_found() -> None:
    page = """
        <p>⟦Paused ⟧ada⟦.⟧</p> <p>⟦An order⟧ waits since <time>noon</time></p> <script>let x</script>
        <img alt="A map"> <a title="⟦More⟧" aria-label="Less">7 ms, payments.take_payment</a>
        <input type="submit" value="Go"> <input value="typed"> <pre>Traceback</pre> <p data-text-lost="Lost">1</p>
    """

    assert pseudo_locale.raw_texts(page, "ada") == ["⟦An order⟧ waits since", "A map", "Less", "Go", "Lost"]


def test_translated_texts_are_marked_and_what_is_put_into_them_is_not() -> None:
    lazy = gettext_lazy("Outbox")

    with pseudo_locale.active():
        assert str(lazy) == "⟦Outbox⟧"
        assert (
            gettext("%(name)s is paused by <b>%(by)s</b>.") % {"name": "x", "by": "y"}
            == "x⟦ is paused by ⟧<b>y</b>."
        )
        assert ngettext("%(n)s event", "%(n)s events", 2) % {"n": 2} == "2⟦ events⟧"
        assert pgettext("noun", "work") == "⟦work⟧"

    assert str(lazy) == gettext("Outbox") == "Outbox"
