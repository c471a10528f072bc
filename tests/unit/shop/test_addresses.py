"""Addresses that no page links to, as typed by hand or by an attacker, are answered by *not found* and never by a failure."""

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import NoReverseMatch, reverse

pytestmark = pytest.mark.django_db

KEYS = [
    "business",
    "7",
    "9" * 40,
    "a%2Fb",
    "é",
    "'",
    "_5F",
    "%00",
    "\0",
    "00000000-0000-0000-0000-000000000000",
]
VALUES = [*KEYS, "0001-01-01", "9999-12-31", "2026-02-30"]
FILTERS = [
    "q",
    "state",
    "outcome",
    "waiting_for",
    "variant",
    "from",
    "to",
    "after",
    "window",
    "p",
    "o",
    "view",
]
OWN = ["journal_flow_changelist", "journal_business", "journal_variants", "problems_problem_changelist"]
"""The lists that the kit filters itself; all others are Django's, whose filters by a column take no NUL."""


@pytest.mark.parametrize("key", KEYS)
def test_key_that_no_row_has_is_not_found(admin_client: Client, key: str) -> None:
    admin_client.raise_request_exception = False
    urls = [url for model in admin.site._registry for url in _of(model._meta.label_lower, key)]

    answers = {url: admin_client.get(url).status_code for url in urls}

    assert len(answers) > 3 * len(admin.site._registry) - 10
    assert {url: status for url, status in answers.items() if status >= 500} == {}


@pytest.mark.parametrize("value", VALUES)
def test_filter_by_what_no_column_takes_finds_nothing(admin_client: Client, value: str) -> None:
    admin_client.raise_request_exception = False
    models = [] if value == "\0" else [model._meta for model in admin.site._registry]
    names = [f"{each.app_label}_{each.model_name}_changelist" for each in models]
    lists = {reverse(f"admin:{name}") for name in [*names, *(f"microworkflows_{own}" for own in OWN)]}

    answers = {
        (url, name): admin_client.get(url, {name: value}).status_code for url in lists for name in FILTERS
    }

    assert {asked: status for asked, status in answers.items() if status >= 500} == {}


def _of(label: str, key: str) -> list[str]:
    """Return the addresses of a row's pages; some lists have none."""
    found = []
    for view in ("change", "delete", "history"):
        try:
            found.append(reverse(f"admin:{label.replace('.', '_')}_{view}", args=[key]))
        except NoReverseMatch:
            continue
    return [*found, reverse("admin:microworkflows_journey", args=[key])]
