"""Looking at the admin's pages as those do who do not see them, or have no mouse: by axe-core, and by the Tab key."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.test import Client
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from tests import npm, servers
from tests.conftest import go_without
from tests.unit import crawling

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]

_RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {runOnly: arguments[0], resultTypes: ["violations"]}).then(
    found => done(found.violations.flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.html.slice(0, 200)}`))));
"""

_FOCUSABLE = """
const own = ["outlineStyle", "outlineColor", "outlineWidth", "boxShadow", "backgroundColor", "borderColor", "color",
    "textDecorationLine", "fill", "stroke"];
window.lookOf = each => own.map(name => getComputedStyle(each)[name]).join("|");
const all = [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]")]
    .filter(each => each.tabIndex >= 0 && !each.disabled && each.checkVisibility({visibilityProperty: true}));
document.activeElement.blur();
window.unfocused = new Map(all.map(each => [each, lookOf(each)]));
all[0].focus({focusVisible: true});  // a page may begin in its first field
return all.map(each => each.outerHTML.slice(0, 200));
"""

_FOCUSED = """
const one = document.activeElement;
return [one.outerHTML.slice(0, 200), lookOf(one) !== unfocused.get(one), one === document.body];
"""


class Reader:
    """Somebody who may do everything, in a browser."""

    def __init__(self, browser: Chrome, url: str, client: Client) -> None:
        self._browser = browser
        self._url = url
        self._client = client
        browser.get(f"{url}/admin/login/")
        browser.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})

    def pages(self, *start: str) -> Iterator[str]:
        """Yield the address of one page of each view that can be reached from some pages."""
        opened: list[str] = []
        assert crawling.refused(self._client, *start, opened=opened) == []
        kinds = set()
        for url in opened:
            if (kind := crawling.kind(url)) not in kinds:
                kinds.add(kind)
                yield url

    def complaints(self, urls: Iterable[str], request: pytest.FixtureRequest) -> list[str]:
        """Return what axe-core finds on pages, in the light and, as for contrast, in the dark."""
        script, found = axe(request), []
        for url in urls:
            for scheme, rules in {"light": RULES, "dark": ["color-contrast"]}.items():
                self.open(url, scheme)
                self._browser.execute_script(script)
                complaints = self._browser.execute_async_script(_RUN, rules)
                found += [f"{url} ({scheme}): {each}" for each in complaints]
        return found

    def unreachable(self, url: str) -> list[str]:
        """Return what the Tab key does not reach on a page, or reaches without a sign of it."""
        self.open(url)
        awaited = self._browser.execute_script(_FOCUSABLE)
        seen: list[str] = []
        unseen = []
        for _ in range(len(awaited) + 20):  # a field for a date takes several
            one, is_seen, is_body = self._browser.execute_script(_FOCUSED)
            if is_body or one in seen[:1]:
                break
            seen.append(one)
            if not is_seen:
                unseen.append(f"no sign of the focus: {one}")
            self._browser.switch_to.active_element.send_keys(Keys.TAB)
        return unseen + [f"not reached: {each}" for each in awaited if each not in seen]

    def open(self, url: str, scheme: str = "light") -> None:
        taste: Any = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self._browser.execute_cdp_cmd("Emulation.setEmulatedMedia", taste)
        self._browser.get(self._url + url)


def axe(request: pytest.FixtureRequest) -> str:
    """Return axe-core's script; without it, the test skips loudly, or fails with ``CI=true``."""
    try:
        folder = npm.installed("axe")
    except npm.ToolError as error:
        go_without(servers.MissingServerError("axe-core", str(error)), request.config)
    return (folder / "node_modules/axe-core/axe.min.js").read_text()
