"""Overviews of flows beyond this database: a guest that has one, such as the journal, answers the core's pages and commands.

The core does not know who answers. Without such a guest nobody knows more than outbox and inbox here, and the pages show these.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A flow's journey for a page."""

    title: str
    """Name of what the flow is about."""
    summary: SafeString
    """One line: state and reason."""
    body: SafeString
    ended: bool
    """True once nothing more can come, so that nobody need look again."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a flow stands, for a list."""

    state: str
    """A word."""
    tone: str
    """Tone of its badge: ``good``, ``bad``, ``busy`` or ``idle``."""
    needs_attention: bool


@dataclass(frozen=True, kw_only=True)
class Span:
    """A time in which something went on, for a terminal."""

    began_at: datetime
    ended_at: datetime | None
    """None while it goes on."""
    sign: str
    """The character with which it is drawn."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a journey in a terminal."""

    text: str
    note: str = ""
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Account:
    """A flow's journey for a terminal, and as plain data."""

    title: str
    summary: str
    lines: Sequence[Line]
    hints: Sequence[str] = ()
    """What is still expected, and what stands in the way."""
    plain: Mapping[str, Any] = field(default_factory=dict)


class Overview:
    """Knows flows across services. This default, in force where no guest does, knows none."""

    css: Sequence[str] = ()
    """Stylesheets of its pictures, as paths of static files."""

    def may_see(self, request: HttpRequest) -> bool:
        """Return True if this user may see every flow's picture."""
        return False

    def picture(self, request: HttpRequest, correlation_id: str) -> Picture | None:
        """Return a flow's journey for a page; None if the flow is unknown."""
        return None

    def standings(self, correlation_ids: Collection[str]) -> Mapping[str, Standing] | None:
        """Return where flows stand, in one statement; the unknown are left out. None: nobody tells here."""
        return None

    def in_need(self) -> Collection[str]:
        """Return correlation ids, and keys of what these flows are about, of flows that need somebody's attention, the newest."""
        return ()

    def account(self, term: str) -> Account | None:
        """Return the journey of the flow that a name, key, or id means; None if it is unknown."""
        return None


overview = Overview()
"""The overview in force."""


def register(new: Overview) -> None:
    """Let an overview answer from now on, in this process."""
    global overview
    overview = new
