"""What a watched run found of one context: places to mend, and how much was seen at all."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

IMPORT = "import"
_MOST = 5
"""Number of failures that are named."""


@dataclass(frozen=True, order=True)
class Finding:
    """A place that needs what is out of its reach once the context is apart."""

    file: str
    line: int
    kind: str
    """``read``, ``insert``, ``update``, ``delete``, ``import``, ``foreign key`` or ``string``."""
    what: str
    """The table, with its model, or the name that is imported."""
    who: str = ""
    """The app, or microworkflow, that does it."""
    through: str = ""
    """The line that sent the statement, if another one than that to mend."""
    statement: str = ""
    """The beginning of the statement, without its values."""

    def __str__(self) -> str:
        by = f", by {self.who}" if self.who else ""
        through = f", through {self.through}" if self.through else ""
        said = f"\n      {self.statement}" if self.statement else ""
        return f"{self.file}:{self.line}  {self.kind}  {self.what}{by}{through}{said}"


@dataclass
class Found:
    """All that was found of a context in one process."""

    findings: list[Finding] = field(default_factory=list)
    own_statements: int = 0
    """Statements on the context's tables by the context itself."""
    others_statements: int = 0
    """Statements on others' tables by others."""
    nobodys: int = 0
    """Statements on either by tests, or by Django alone: they are not judged."""
    steps: set[str] = field(default_factory=set)
    """Labels of the microworkflows that ran."""
    failed: set[str] = field(default_factory=set)
    """Those of any context that failed when an event was delivered to them, with the error."""
    tests: dict[str, str] = field(default_factory=dict)
    """Outcome of each test by its id; of a scenario, by its name."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self) | {"steps": sorted(self.steps), "failed": sorted(self.failed)}

    @staticmethod
    def of(data: dict[str, Any]) -> "Found":
        """Return what :meth:`as_dict` wrote."""
        findings = [Finding(**finding) for finding in data["findings"]]
        sets = {name: set(data[name]) for name in ("steps", "failed")}
        return Found(**(data | {"findings": findings} | sets))

    def add(self, other: "Found") -> None:
        """Take over what another process found."""
        self.findings += other.findings
        self.own_statements += other.own_statements
        self.others_statements += other.others_statements
        self.nobodys += other.nobodys
        self.steps |= other.steps
        self.failed |= other.failed
        self.tests |= other.tests

    def sorted(self) -> list[Finding]:
        """Return the findings, one for each place, kind and thing."""
        once = {
            (each.file, each.line, each.kind, each.what): each for each in sorted(self.findings, reverse=True)
        }
        return sorted(once.values())

    def doubts(self, steps: list[str]) -> Iterator[str]:
        """Yield why the run proves nothing, or not all, though nothing was found; ``steps`` are those that there are."""
        if not self.own_statements:
            yield "no statement of its own on its own tables was seen: it did not work at all"
        if not self.others_statements:
            yield "no statement of others on their tables was seen: they did not work at all"
        if missed := sorted(set(steps) - self.steps):
            yield f"these microworkflows never ran: {', '.join(missed)}"
        if self.failed:
            yield f"steps failed, and what follows in them was not seen: {'; '.join(sorted(self.failed)[:_MOST])}"
        if failed := sorted(test for test, outcome in self.tests.items() if outcome == "failed"):
            yield f"tests failed, and what follows in them was not seen: {', '.join(failed[:_MOST])}"
