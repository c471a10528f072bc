"""Which code answers requests and which passes them on; and which hooks of a class a library's method calls."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.generic import TemplateView, View

from microworkflows_xray.static import accesses
from microworkflows_xray.static.inherited import Inherited
from microworkflows_xray.static.registry import Registry
from microworkflows_xray.static.sources import Module, Sources
from tests.xray.snippets import PROJECT, called

HERE = __name__


class Header:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)


def order(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class Basket(View):
    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


class Page(TemplateView):
    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        return super().get_context_data(**kwargs)

    def other(self) -> None:
        """Nobody calls this."""


urlpatterns = [path("order/", order), path("basket/", include([path("", Basket.as_view())]))]


@pytest.fixture
def sources() -> Sources:
    found = Sources()
    file = Path(__file__)
    found.add(Module(HERE, file, file.name, ast.parse(file.read_text()), "desk"))
    return found


def test_a_middleware_calls_all_that_answers_requests(sources: Sources, settings: object) -> None:
    settings.ROOT_URLCONF = HERE  # type: ignore[attr-defined]
    settings.MIDDLEWARE = [f"{HERE}.Header"]  # type: ignore[attr-defined]

    engine = accesses.read(PROJECT, sources, Registry())

    assert engine.gaps == []
    assert {callee for caller, callee, how in called(engine) if how == "callback" and "Header" in caller} == {
        f"{HERE}.order",
        f"{HERE}.Basket",
        f"{HERE}.Basket.post",
    }


def test_a_librarys_method_calls_the_hooks_that_a_class_has(sources: Sources) -> None:
    inherited = Inherited(sources)

    assert inherited.hooks(f"{HERE}.Page", "get") == (f"{HERE}.Page.get_context_data",)
    assert inherited.hooks(f"{HERE}.Page", "get_context_data", f"{HERE}.Page") == ()
    assert inherited.hooks("no.such.Class", "get") == ()
