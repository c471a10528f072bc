"""Following every link of the kit's and the shop's admin as one of its users: each page, and what it polls.

Django's own pages of users and groups are left out: they link to what one may not do.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import Resolver404, resolve

_MOST_OF_A_KIND = 2
"""Pages of one view and with the same filters that are opened: all link alike."""


def refused(
    client: Client,
    *start: str,
    opened: list[str] | None = None,
    read: Callable[[str, str], None] | None = None,
) -> list[str]:
    """Open what can be reached from some pages; return each link that did not lead to a page, with the page that shows it.

    ``opened`` takes the addresses of the pages, without the parts of pages that others ask for; ``read`` is called with the
    address and the HTML of each page and part.
    """
    found = []
    waiting = deque((page, "the start") for page in start)
    kinds: Counter[object] = Counter()
    seen = set(start)
    while waiting:
        url, shown_on = waiting.popleft()
        response = client.get(url, follow=True)
        if response.status_code != 200:
            found.append(f"{url}: {response.status_code}, linked from {shown_on}")
            continue
        if not response.headers["Content-Type"].startswith("text/html"):
            continue
        at = response.request["PATH_INFO"]
        if opened is not None and b"<html" in response.content:
            opened.append(url)
        html = response.content.decode()
        if read is not None:
            read(url, html)
        for link in _links(html, base=at):
            if link in seen or not link.startswith("/admin/") or link.startswith("/admin/auth/"):
                continue
            if urlsplit(link).path == at:  # its own filters, order and views
                continue
            seen.add(link)
            kinds[kind(link)] += 1
            if kinds[kind(link)] <= _MOST_OF_A_KIND:
                waiting.append((link, at))
    return found


def users(*apps: str) -> Iterator[tuple[str, list[str]]]:
    """Yield a name and the permissions of users who may see rows of one model alone, and of one who may see those of all.

    Args:
        apps: Labels of the apps whose models count; by default all.
    """
    views = []
    for model, its_admin in admin.site._registry.items():
        if model._meta.app_label != "auth" and (not apps or model._meta.app_label in apps):
            seen = [model, *(inline.model for inline in its_admin.inlines)]
            codenames = [f"view_{each._meta.model_name}" for each in seen]
            views += codenames
            yield model._meta.label, codenames
    yield "all views", views


def log_in(client: Client, codenames: list[str]) -> None:
    """Log in somebody with these permissions and no others."""
    user, _ = User.objects.get_or_create(username="clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)


def kind(link: str) -> object:
    """Return what tells the pages of one view, with filters of the same names, from those of others."""
    split = urlsplit(link)
    try:
        view = resolve(split.path).url_name
    except Resolver404:
        view = split.path
    return view, tuple(sorted(part.partition("=")[0] for part in split.query.split("&")))


def _links(html: str, *, base: str) -> list[str]:
    reader = _Reader()
    reader.feed(html)
    return [urljoin(base, link).partition("#")[0] for link in reader.links]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in ("href", "data-mw-journey", "data-mw-progress"):
            if (tag == "a" or name != "href") and (link := given.get(name)):
                self.links.append(link)
