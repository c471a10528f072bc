"""The admin as a person uses it, in a real browser."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium.common.exceptions import ElementNotInteractableException, StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from project.processes.waiting import eventually
from tests.acceptance.running import wait_until


class Admin:
    """The pages of one site, read and used one after the other."""

    def __init__(self, browser: Chrome, url: str) -> None:
        self._browser = browser
        self._url = url

    def log_in(self, user: str, password: str) -> None:
        """Log in from the first page."""
        self.open("/admin/")
        self.type("username", user)
        self.type("password", password)
        self.press("Log in")

    def open(self, path: str) -> None:
        self._browser.get(self._url + path)

    def path(self) -> str:
        """Return the path of the page, with its query."""
        return self._browser.current_url.removeprefix(self._url)

    def reload_until(self, selector: str, text: str) -> None:
        """Load the page again until it says ``text``: only journeys renew themselves."""

        def look() -> bool:
            self._browser.refresh()
            return text in self.text(selector)

        eventually(
            look,
            what=f"{selector} to say {text!r}",
            timeout=20,
            every=0.1,
            progress=lambda: self.text(selector),
        )

    def do(self, selector: str, act: Callable[[WebElement], object]) -> None:
        """Do something to the first visible element; again, if the page replaces it meanwhile."""

        def attempt() -> bool:
            try:
                shown = [
                    e for e in self._browser.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()
                ]
                if shown:
                    act(shown[0])
            except (StaleElementReferenceException, ElementNotInteractableException):
                return False
            return bool(shown)

        wait_until(f"{selector} is on the page", attempt, seconds=10)

    def text(self, selector: str) -> str:
        """Return the text of the first such element, read in one go, its spaces alike: "" while there is none."""
        text: str = self._browser.execute_script(
            "return document.querySelector(arguments[0])?.innerText ?? ''", selector
        )
        return " ".join(text.split())

    def run(self, script: str, *values: object) -> Any:
        """Return what a script returns in the page."""
        return self._browser.execute_script(script, *values)

    def drawn(self, selector: str) -> str:
        """Return all text of the first such element, pictures included."""
        text: str = self._browser.execute_script(
            "return document.querySelector(arguments[0])?.textContent ?? ''", selector
        )
        return " ".join(text.split())

    def wait_for_text(self, selector: str, text: str) -> None:
        eventually(
            lambda: text in self.text(selector),
            what=f"{selector} to say {text!r}",
            timeout=30,
            every=0.1,
            progress=lambda: self.text(selector),
        )

    def type(self, name: str, text: str) -> None:
        self.do(f"[name={name}]", lambda field: field.clear())
        self.do(f"[name={name}]", lambda field: field.send_keys(text))

    def choose(self, name: str, value: str) -> None:
        self.do(f"[name={name}]", lambda field: Select(field).select_by_value(value))

    def click(self, selector: str) -> None:
        self.do(selector, lambda element: element.click())

    def press(self, label: str) -> None:
        """Press a button and wait for the page that follows."""
        self.follow(f"input[type=submit][value='{label}']")

    def follow(self, selector: str) -> None:
        """Click on what leads to another page, and wait for that."""
        self.mark_page()
        self.click(selector)
        wait_until(
            "another page is there",
            lambda: (
                not self.is_marked()
                and self._browser.execute_script("return document.readyState") == "complete"
            ),
            seconds=20,
        )

    def fill_line(self, number: int, *, product: str, quantity: int) -> None:
        """Pick a product by what a person would type into the autocomplete field."""
        self.click(f"#lines-{number} .select2-selection")
        self.do(".select2-search__field", lambda field: field.send_keys(product))
        wait_until(
            "the product is offered",
            lambda: product in self.text(".select2-results__option--highlighted").lower(),
            seconds=10,
        )
        self.do(".select2-search__field", lambda field: field.send_keys(Keys.ENTER))
        self.type(f"lines-{number}-quantity", str(quantity))

    def wait_for_step(self, name: str) -> None:
        wait_until(f"the picture shows {name!r}", lambda: name in self.steps(), seconds=30)

    def steps(self) -> list[str]:
        """Return the names of the events that the journey's picture shows, from the top."""
        names: list[str] = self._browser.execute_script(
            "return [...document.querySelectorAll('.mwj-e')].map(each => each.textContent)"
        )
        return names

    def mark_page(self) -> None:
        """Leave a mark that a navigation would remove."""
        self._browser.execute_script("window.stayed = true")

    def is_marked(self) -> bool:
        return self._browser.execute_script("return window.stayed === true") is True

    def errors(self) -> list[str]:
        """Return what the browser's console complains about."""
        log = self._browser.get_log("browser")  # type: ignore[no-untyped-call]  # selenium has no annotation here
        errors = [entry["message"] for entry in log if entry["level"] == "SEVERE"]
        return [error for error in errors if "favicon.ico" not in error]

    def screenshot(self, name: str) -> None:
        """Save the whole page to the folder that SCREENSHOTS names, if it does."""
        if folder := os.environ.get("SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._browser.save_screenshot(str(Path(folder) / f"{name}.png"))

    def screenshots(self, name: str) -> None:
        """Save the page as it is in the light, in the dark and on a phone, if SCREENSHOTS names a folder."""
        if not os.environ.get("SCREENSHOTS"):
            return
        for suffix, width, scheme in (("", 1400, "light"), ("_dark", 1400, "dark"), ("_phone", 375, "light")):
            self.look(width=width, scheme=scheme)
            self.screenshot(f"{name}{suffix}")
        self.look(width=1400, scheme="light")

    def look(self, *, width: int, scheme: str) -> None:
        """Give the page this width, and the person this taste."""
        command = self._browser.execute_cdp_cmd
        command(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
        command("Emulation.setDeviceMetricsOverride", size)
        still = "return !document.getAnimations().some(each => each instanceof CSSTransition)"
        wait_until("colours have changed", lambda: self._browser.execute_script(still) is True, seconds=10)

    def overflow(self) -> int:
        """Return the number of pixels by which the page is wider than its window."""
        script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self._browser.execute_script(script))
