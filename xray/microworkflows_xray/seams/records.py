"""Records of a seam: who hands over to whom, what travels, and what depends on the outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from microworkflows_xray.facts import Place

How = Literal["call", "template method", "signal", "task", "on_commit"]


@dataclass(frozen=True, order=True)
class Field:
    """A value that is handed over, and the field of the event that carries it."""

    name: str
    """Name in the event, such as ``order_id``."""
    type: str
    """``int``, ``str``, ``Decimal`` and so on; empty if the code does not tell, and a person must."""
    parameter: str
    """Parameter of the function that is handed over to; ``self`` for the row whose method it is."""
    model: str = ""
    """Label of the model whose row is handed over, and whose key travels; empty for plain values."""
    choices: tuple[str, ...] = ()
    """Other models that it may be: the code does not tell which."""
    required: bool = True
    keyword: bool = False
    """True if the parameter takes keywords only."""


@dataclass(frozen=True, order=True)
class Written:
    """A table that the consumer writes, and the other contexts that read or write it, too."""

    table: str
    also: tuple[str, ...]


@dataclass(frozen=True, order=True)
class Seam:
    """A place where one context's code hands over to another's."""

    id: str
    event: str
    """Proposed name of the emitter's fact, in the past tense."""
    outcome: str
    """Proposed name of the event that the consumer answers with."""
    how: How
    emitter: str
    """Dotted name of the function that hands over."""
    emitter_context: str
    consumer: str
    """Dotted name of the function that is handed over to."""
    consumer_context: str
    place: Place
    replaces: str
    """Dotted name of the function for which the event takes over: the consumer, or the method to override."""
    payload: tuple[Field, ...] = ()
    reads: tuple[str, ...] = ()
    """Columns of the emitter's tables that the consumer reads, as ``table.column``; ``table.*`` for whole rows."""
    result: Literal["unused", "used", "unknown"] = "unknown"
    """If the result is used, this is a query, and no event can take over."""
    can_fail: bool = True
    """True if an error of the consumer's ends the workflow today."""
    raises: tuple[str, ...] = ()
    """Errors that the consumer itself raises."""
    writes: tuple[Written, ...] = ()
    signal: str = ""
    """Dotted name of the signal; empty for others."""

    @property
    def is_query(self) -> bool:
        """True if the emitter goes on with what the consumer returned."""
        return self.result == "used"
