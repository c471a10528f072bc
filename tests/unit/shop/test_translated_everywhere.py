"""Each text of the admin is translated: in an invented language, the pages show nothing but marked texts, names and values."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation
from django.utils.translation import gettext, gettext_lazy, ngettext, pgettext
from pytest_django import Settings

from microworkflows.models import Hold, InboxEvent, OutboxEvent
from tests import servers
from tests.architecture.files import ROOT
from tests.conftest import go_without
from tests.unit import pseudo_locale
from tests.unit.cutover.conftest import go, monolith, workers  # noqa: F401  (fixtures)
from tests.unit.cutover.test_links import handed_over  # noqa: F401  (a fixture)
from tests.unit.journal.test_links import stuck  # noqa: F401  (a fixture)
from tests.unit.shop.conftest import DATA, draft, shop  # noqa: F401  (fixtures)
from tests.unit.shop.test_links import orders  # noqa: F401  (a fixture)

NAMES = (
    *DATA,
    "ada",
    "the bank is closed",
    "this provider has no such account",
    "PermanentError",
    "tok_[a-z]+",
    "somebody",
    "a test",
    "here",
    "a row",
    "no database",
    r"shipping has no worker\.",
    "orders.order",
)
"""What the fixtures' people typed."""

HOW_TO = ROOT / "docs/howto/translate.md"
TEMPLATES = sorted(
    path for folder in ("apps", "project") for path in (ROOT / folder).rglob("templates/**/*.html")
)
MODULES = sorted(
    path
    for path in (ROOT / "apps").rglob("*.py")
    if not {"management", "migrations", "metrics"} & set(path.relative_to(ROOT).parts)
)
DECLARATIONS = (
    "description",
    "help_text",
    "label",
    "verbose_name",
    "verbose_name_plural",
    "search_help_text",
    "short_description",
)


@pytest.fixture
def client(client: Client, db: None) -> Client:
    """Somebody who may see and do everything."""
    client.force_login(User.objects.create(username="admin", is_staff=True, is_superuser=True))
    return client


@pytest.mark.parametrize("world", ["orders", "stuck", "handed_over"])
def test_no_page_shows_a_raw_text(client: Client, world: str, request: pytest.FixtureRequest) -> None:
    with pseudo_locale.active():  # the history keeps sentences as the person who acted read them
        request.getfixturevalue(world)

    assert pseudo_locale.raw_pages(client, "/admin/", data=NAMES) == {}


def test_no_answer_shows_a_raw_text(client: Client, orders: None) -> None:  # noqa: F811
    parked, unheard = InboxEvent.objects.parked()[0], OutboxEvent.objects.order_by("pk")[0]
    OutboxEvent.objects.filter(pk=unheard.pk).update(status=OutboxEvent.Status.UNHEARD)
    hold = Hold.objects.get(name="payments")
    kit, agreed = "/admin/microworkflows", {"confirmed": "yes", "why": "a test"}
    every = [str(key) for key in InboxEvent.objects.values_list("pk", flat=True)]
    asked: list[tuple[str, dict[str, Any]]] = [
        (f"{kit}/inboxevent/{parked.pk}/again/", {}),
        (f"{kit}/inboxevent/{parked.pk}/again/", agreed),
        (f"{kit}/inboxevent/{parked.pk}/dismiss/", {}),
        (f"{kit}/inboxevent/{parked.pk}/dismiss/", agreed),
        (f"{kit}/inboxevent/", {"action": "send_selected_again", "_selected_action": every}),
        (f"{kit}/inboxevent/", {"action": "send_selected_again", "_selected_action": every, **agreed}),
        (f"{kit}/outboxevent/{unheard.pk}/again/", {}),
        (f"{kit}/hold/add/", {}),
        (f"{kit}/hold/add/", {"flow": "nothing", "why": "a test"}),
        (f"{kit}/hold/add/", {"what": "payments", "why": "a test"}),
        (f"{kit}/hold/add/", {"what": "orders.mark_paid", "why": "a test", "minutes": 5}),
        (f"{kit}/hold/{hold.pk}/resume/", {}),
        (f"{kit}/hold/{hold.pk}/resume/", {}),
    ]

    with pseudo_locale.active():
        answers = [client.post(url, form, follow=True).content.decode() for url, form in asked]
        history = client.get(f"{kit}/hold/{hold.pk}/history/").content.decode()

    assert [
        raw for page in (*answers, history) if (raw := pseudo_locale.raw_texts(page, *NAMES, "nothing"))
    ] == []
    assert sum("messagelist" in page for page in answers) == 7


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_branch_of_a_template_shows_a_raw_text(template: Path) -> None:
    assert pseudo_locale.raw_in_template(template.read_text()) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_declaration_for_people_is_a_raw_text(module: Path) -> None:
    assert [f"{line}: {text}" for line, text in raw_declarations(module.read_text())] == []


def raw_declarations(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of what is declared for people, as an argument or an attribute of a class, and is not translated."""
    for node in ast.walk(ast.parse(source)):
        named: list[tuple[str | None, ast.expr]] = []
        if isinstance(node, ast.Call):
            named = [(each.arg, each.value) for each in node.keywords]
        elif isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
            named = [(target.id, node.value)] if target.id != "label" else []  # that of an app is an id
        for name, value in named:
            if name in DECLARATIONS and isinstance(value, ast.Constant) and value.value:
                yield value.lineno, ast.unparse(value)


def test_raw_word_of_a_template_or_a_declaration_is_found() -> None:
    template = """{% if x %}<p title="{% translate "A" %}">{% translate "B" %} raw</p>{% else %}<a title="Raw {{ x }}">{% endif %}
        {% blocktranslate count n=x %}{{ n }} C{% plural %}{{ n }} Cs{% endblocktranslate %} {{ x|default:"nobody" }}"""
    module = 'class A:\n    verbose_name = "raw"\n    short_description = _("B")\n    x = display(description="Raw", other="c")'

    assert pseudo_locale.raw_in_template(template) == ["raw", "Raw", '|default:"nobody"']
    assert list(raw_declarations(module)) == [(2, "'raw'"), (4, "'Raw'")]


def test_how_to_makes_a_catalogue_whose_words_are_shown(
    tmp_path: Path, settings: Settings, request: pytest.FixtureRequest
) -> None:
    if shutil.which("msgfmt") is None:
        go_without(servers.MissingServerError("GNU gettext", "msgfmt is not installed"), request.config)
    collect, compile_ = re.findall(r"```sh\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    paths = (str(Path(sys.executable).parent), os.environ["PATH"])

    def run(commands: str) -> None:
        env = {"PATH": os.pathsep.join(paths), "LC_ALL": "C.UTF-8"}
        subprocess.run(["sh", "-ec", commands], cwd=tmp_path, env=env, check=True, capture_output=True)

    run(collect)
    (catalogue,) = tmp_path.rglob("*.po")
    catalogue.write_text(
        catalogue.read_text().replace('msgid "in hand"\nmsgstr ""', 'msgid "in hand"\nmsgstr "in Arbeit"')
    )
    run(compile_)
    settings.LOCALE_PATHS = [tmp_path / "translations" / "locale"]

    with translation.override("de"):
        assert gettext("in hand") == "in Arbeit"
        assert gettext("in the queue") == "in the queue"


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
