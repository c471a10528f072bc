"""Questions from before anybody counted them."""

from collections.abc import Iterator

from microworkflows.bridging import Past
from tests.integration.probe.events import Asked

NUMBER = 30


def asked() -> Iterator[Past]:
    """Yield them; their handler would emit, if it acted."""
    for number in range(NUMBER):
        yield Past(event=Asked(number=number, behaviour="emit"), key=str(number))
