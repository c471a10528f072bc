"""The window that one chooses: the time of which the map, the variants and the business view tell."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, kw_only=True)
class Window:
    """A time that ends now."""

    name: str
    """As the address of a page has it, such as ``24h``."""
    label: str
    """For people."""
    since: datetime
    until: datetime

    @property
    def minutes(self) -> float:
        """Its length in minutes."""
        return (self.until - self.since) / timedelta(minutes=1)

    @property
    def bar(self) -> Literal["minute", "hour"]:
        """What one bar of a picture stands for."""
        return "minute" if self.until - self.since <= timedelta(hours=1) else "hour"


SPANS: Final = {
    "15m": (_("15 minutes"), timedelta(minutes=15)),
    "1h": (_("hour"), timedelta(hours=1)),
    "24h": (_("24 hours"), timedelta(hours=24)),
    "7d": (_("7 days"), timedelta(days=7)),
}
DEFAULT: Final = "1h"


def window(name: str, *, now: datetime, default: str = DEFAULT) -> Window:
    """Return the window of a name that ends now; of a name that there is none of, the default one."""
    name = name if name in SPANS else default
    label, span = SPANS[name]
    return Window(name=name, label=str(label), since=now - span, until=now)
