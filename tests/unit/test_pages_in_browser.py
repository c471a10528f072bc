"""A journey in a back office of one's own, in a real browser: it stays up to date, and looks right without the admin's stylesheets."""

import os
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template import engines
from django.urls import path
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome

from microworkflows.pages import journey_response
from microworkflows.testing import Flow
from tests.integration.support.waiting import eventually

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
]

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Letters</title>
<style>body { font: 16px sans-serif; color: #222; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #181818 } }</style>
{% load microworkflows %}{% journey_media %}</head>
<body><h1 data-mw-part="headline">A letter</h1>{% journey letter url="journey/" %}</body></html>
"""


def letter_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(engines["django"].from_string(PAGE).render({"letter": Group.objects.get()}, request))


def letter_journey(request: HttpRequest) -> HttpResponseBase:
    return journey_response(request, Group.objects.get(), headline="A letter, as it is now")


urlpatterns = [path("letters/1/", letter_page), path("letters/1/journey/", letter_journey)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_follows_the_flow(
    browser: Chrome, live_server: LiveServer, post: SimpleNamespace, flow: Flow, theme: str
) -> None:
    letter = Group.objects.create(name="letter")
    emulated = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", emulated)
    browser.get(f"{live_server.url}/letters/1/")
    assert "not begun" in text_of(browser)

    flow.record(post.LetterWritten(letter_id=uuid4()), about=letter)
    eventually(lambda: "on its way" in text_of(browser), what="the page shows the letter", timeout=60)
    flow.run()
    eventually(
        lambda: "2 of 2 deliveries handled" in text_of(browser), what="the page shows the end", timeout=60
    )

    assert "A letter, as it is now" in text_of(browser)
    assert "desk.stamp_letter handled" in text_of(browser)
    if folder := os.environ.get("SCREENSHOTS"):
        browser.save_screenshot(str(Path(folder) / f"back-office-{theme}.png"))
    for selector in (".mw-journey__title", ".mw-delivery__label", ".mw-badge", ".mw-step__by a"):
        assert contrast_of(browser, selector) >= 4.5, selector


def text_of(browser: Chrome) -> str:
    return " ".join(browser.execute_script("return document.body.innerText").split())


def contrast_of(browser: Chrome, selector: str) -> float:
    """Return the contrast of an element's text with what is behind it, as WCAG 2.2 defines it."""
    return float(
        browser.execute_script(
            """
            const channels = (text) => text.match(/[\\d.]+/g).map(Number);
            const behind = (element) => {
                for (let each = element; each; each = each.parentElement) {
                    const color = channels(getComputedStyle(each).backgroundColor);
                    if (color.length < 4 || color[3] > 0.5) return color;
                }
                return [255, 255, 255];
            };
            const light = (color) => {
                const [r, g, b] = color.slice(0, 3).map((value) => {
                    const share = value / 255;
                    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
                });
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const element = document.querySelector(arguments[0]);
            const [one, other] = [light(channels(getComputedStyle(element).color)), light(behind(element))];
            return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
            """,
            selector,
        )
    )
