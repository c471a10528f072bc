"""How sure an access is: observed while the project ran, only predicted from the code, or in code that never ran.

A prediction that a recording does not confirm is no error of the prediction: the recording may not have come that way.
So the three are told apart, and none is dropped.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from microworkflows_xray.facts import WRITES, Access, Observed, Static

Evidence = Literal["observed", "predicted only", "never executed"]
Site = tuple[str, str, str, bool]
"""File, function, table, and whether it writes: two recordings of a program agree on this, whatever moved a line."""


@dataclass(frozen=True, order=True)
class Judged:
    """An access with what speaks for it."""

    access: Access
    evidence: Evidence
    times: int
    """How often its transactions were seen; 0 unless it was observed."""
    predicted: bool
    """False if the code did not tell, and only the recording did."""


def site(access: Access) -> Site:
    """Return the site of an access."""
    return (access.place.file, access.place.function, access.table, access.verb in WRITES)


def judge(static: Static, observed: Observed | None) -> tuple[Judged, ...]:
    """Return each predicted access, and each observed one that was not predicted, with its evidence; sorted.

    Without a recording, each access is *predicted only*. *Never executed* needs a recorder that knows which functions ran.
    """
    seen: Counter[Site] = Counter()
    unpredicted: dict[Site, Access] = {}
    known = {site(access) for access in static.accesses}
    for transaction in observed.transactions if observed else ():
        for access in set(transaction.accesses):
            seen[site(access)] += transaction.count
            if site(access) not in known and access.place.file:
                unpredicted.setdefault(site(access), access)
    ran = _with_enclosing(observed.executed) if observed else frozenset()
    judged = [
        Judged(access, _evidence(access, seen, ran), seen[site(access)], True)
        for access in set(static.accesses)
    ]
    judged += [Judged(access, "observed", seen[key], False) for key, access in unpredicted.items()]
    return tuple(
        sorted(
            judged, key=lambda one: (one.access.place, one.access.table, one.access.verb, repr(one.access))
        )
    )


def _evidence(access: Access, seen: Counter[Site], ran: frozenset[str]) -> Evidence:
    if seen[site(access)]:
        return "observed"
    function = access.place.function
    is_function = function and not function.rpartition(".")[2][:1].isupper()
    # A class body, such as that of a generic view, runs by methods that it inherits: its name says nothing.
    if ran and is_function and function not in ran:
        return "never executed"
    return "predicted only"


def _with_enclosing(executed: tuple[str, ...]) -> frozenset[str]:
    """Return the names, and those of the functions around them."""
    names = set()
    for name in executed:
        plain = name.replace(".<locals>", "")
        names.add(plain)
        while "." in plain:
            plain = plain.rpartition(".")[0]
            names.add(plain)
    return frozenset(names)
