"""The tutorial, followed word by word: each file is written, each command run, each output compared, page by page."""

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import pytest

from tests.acceptance.reader import Desk, Reader
from tests.architecture.files import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

PAGES = ROOT / "docs/tutorial"


def _books(guest: str, *, nights: int = 1) -> Callable[[Desk], str]:
    def book(desk: Desk) -> str:
        desk.add("bookings/booking", guest=guest, nights=nights)
        return desk.newest("bookings/booking")

    return book


def _books_for_two(desk: Desk) -> str:
    _books("Grace")(desk)
    return _books("Edsger")(desk)


ACTIONS: Mapping[str, Callable[[Desk], str | None]] = {
    "enter the guest Ada and save": _books("Ada"),
    "Book for Grace, then for Edsger": _books_for_two,
    "book 8 nights for Hedy": _books("Hedy", nights=8),
}
"""What the pages ask for in the browser."""
ACTIONS_WITH_A_WORKER_FOR_EACH_APP: Mapping[str, Callable[[Desk], str | None]] = {
    "Book for Ada in the admin": _books("Ada"),
    "Add a departure": lambda desk: desk.add("reception/departure", booking_id=1),
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Yield a reader who has followed the pages that need no server."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "BROKER_URL"):
            patch.delenv(name, raising=False)  # a worker inherits this run's environment
        folder = tmp_path_factory.mktemp("tutorial") / "hotel"
        folder.mkdir()
        reader = Reader(folder)
        try:
            for page in ("project", "flow", "tests", "failures"):
                reader.follow(PAGES / f"{page}.md", ACTIONS)
        finally:
            reader.close()
        yield reader


def test_tutorial_leads_to_a_flow_with_compensation_that_fails_and_is_replayed(reader: Reader) -> None:
    assert reader.did == list(ACTIONS)


@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_tutorial_leads_to_a_worker_for_each_app(reader: Reader, server_urls: dict[str, str]) -> None:
    database = urlsplit(server_urls["DATABASE_URL"])
    reader.set(
        {
            "DATABASE_HOST": database.hostname or "",
            "DATABASE_NAME": database.path.removeprefix("/"),
            "DATABASE_USER": database.username or "",
            "DATABASE_PASSWORD": database.password or "",
            "BROKER_URL": server_urls["BROKER_URL"],
        }
    )
    before = len(reader.did)

    try:
        reader.follow(PAGES / "production.md", ACTIONS_WITH_A_WORKER_FOR_EACH_APP)
    finally:
        reader.close()

    assert reader.did[before:] == list(ACTIONS_WITH_A_WORKER_FOR_EACH_APP)
