"""The page in a real browser, opened from a file: on a wide screen, on a phone, in the dark, and folded where a link unfolds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import Observed, Static
from microworkflows_xray.report import FORMATS
from microworkflows_xray.report.content import build
from tests.xray.samples import SHOP, SHOP_RECORDING, wide

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Page:
    def __init__(self, browser: Chrome, folder: Path) -> None:
        self._browser, self._file = browser, folder / "report.html"

    def open(
        self,
        static: Static = SHOP,
        observed: Observed | None = SHOP_RECORDING,
        *,
        phone: bool = False,
        dark: bool = False,
    ) -> None:
        self._file.write_text(
            FORMATS["html"](build(static, observed, Contexts.read(None, static))), encoding="utf-8"
        )
        size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 900}
        self._browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {**size, "deviceScaleFactor": 1, "mobile": phone}
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self._browser.get(self._file.as_uri())

    def ask(self, script: str) -> Any:
        return self._browser.execute_script(f"return {script}")

    def do(self, script: str) -> None:
        self._browser.execute_script(script)

    @property
    def errors(self) -> list[Any]:
        return list(self._browser.get_log("browser"))  # type: ignore[no-untyped-call]  # selenium leaves it untyped


@pytest.fixture
def page(browser: Chrome, tmp_path: Path) -> Page:
    return Page(browser, tmp_path)


@pytest.mark.parametrize("apps", [0, 60])
@pytest.mark.parametrize("phone", [False, True])
def test_the_page_is_no_wider_than_the_screen(page: Page, *, phone: bool, apps: int) -> None:
    page.open(wide(apps), None, phone=phone) if apps else page.open(phone=phone)

    assert page.ask("document.documentElement.scrollWidth <= innerWidth")
    assert page.ask("getComputedStyle(document.querySelector('.map.phone')).display") == (
        "block" if phone else "none"
    )
    assert page.errors == []


def test_the_page_is_dark_where_the_reader_wants_it_so(page: Page) -> None:
    page.open(dark=True)
    dark = page.ask("getComputedStyle(document.body).backgroundColor")

    page.open()

    assert (dark, page.ask("getComputedStyle(document.body).backgroundColor")) == (
        "rgb(16, 20, 26)",
        "rgb(246, 247, 249)",
    )


def test_a_context_that_is_clicked_shows_its_dependencies_and_nothing_else(page: Page) -> None:
    page.open()

    page.do(
        "document.querySelector('.map.wide [data-context=stock]').dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))"
    )

    assert page.ask("document.getElementById('panel-title').textContent") == "stock"
    links = page.ask("[...document.querySelectorAll('#panel-list a')].map(each => each.textContent)")
    assert links == ["What it costs to move it out", "→ catalogue", "← orders", "← catalogue"]
    assert page.ask("document.querySelectorAll('.map.wide .curve.on').length") == 3


def test_a_cell_of_the_matrix_unfolds_the_places_behind_it(page: Page) -> None:
    page.open(wide(60), None)
    target = page.ask("[...document.querySelectorAll('.fold .edge[id]')][0].id")

    page.do(f"location.hash = '{target}'; dispatchEvent(new HashChangeEvent('hashchange'))")

    assert page.ask(
        f"document.getElementById('{target}').open && document.getElementById('{target}').closest('.fold').open"
    )


def test_the_filter_leaves_the_contexts_that_are_asked_for(page: Page) -> None:
    page.open(wide(60), None)

    page.do(
        "const field = document.getElementById('filter'); field.value = 'care_1'; field.dispatchEvent(new Event('input'))"
    )

    shown = page.ask(
        "[...document.querySelectorAll('.ranking > li')].filter(row => row.checkVisibility()).map(row => row.dataset.context)"
    )
    assert sorted(shown) == ["care_10", "care_11"]


def test_a_family_that_is_switched_off_leaves_the_map(page: Page) -> None:
    page.open()

    page.do("document.querySelector('[data-family=writes][type=checkbox]').click()")

    left = page.ask(
        "[...new Set([...document.querySelectorAll('.map.wide .curve:not(.off)')].map(each => each.dataset.family))].sort()"
    )
    assert left == ["keys", "reads"]
