"""The report as Markdown: what a team lead reads in a pull request or a wiki. Places are few; the JSON has all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from microworkflows_xray.bonds import WEIGHTS
from microworkflows_xray.facts import Place
from microworkflows_xray.graph import Edge
from microworkflows_xray.report import words
from microworkflows_xray.report.content import Content
from microworkflows_xray.report.summary import sentences
from microworkflows_xray.transactions import Written

PLACES = 5
"""Places shown of each kind."""
FUNCTIONS = 30
"""Predicted functions shown."""


def render(content: Content) -> str:
    """Return the report as Markdown."""
    sections = (
        _head,
        _order,
        _matrix,
        _transactions,
        _functions,
        _cycles,
        _proposal,
        _bonds,
        _shared,
        _footer,
    )
    return "\n".join(line for section in sections for line in section(content)) + "\n"


def _head(content: Content) -> Iterator[str]:
    yield f"# X-ray of {_text(content.name)}"
    yield ""
    if content.partial:
        yield f"> **{content.partial}**"
        yield ">"
        yield from (f"> - {_text(words.gap(gap))}{_at(gap.place)}" for gap in content.gaps)
        yield ""
    graph = content.graph
    parts = [
        words.many(len(graph.contexts), "context"),
        words.many(len(graph.edges), "dependency", "dependencies") + " between them",
        words.many(len(graph.cycles), "cycle"),
    ]
    if content.observed:
        parts.append(words.many(len(content.spans), "transaction") + " seen that span contexts")
    yield f"{', '.join(parts)}. {content.recording}"
    yield ""
    yield from (f"- {_text(sentence)}" for sentence in sentences(content))
    if content.observed:
        yield ""
        yield "Accesses: " + ", ".join(f"{count} {name}" for name, count in content.evidence.items()) + "."
    yield ""


def _order(content: Content) -> Iterator[str]:
    yield "## Extraction order"
    yield ""
    yield from _table(
        ("", "Context", "Cost", "When those before are out", "Parts"),
        (
            (
                str(one.position),
                f"**{_text(one.context)}**",
                str(one.cost),
                str(one.then),
                ", ".join(f"{part.count} {part.name}" for part in one.parts) or "nothing holds it",
            )
            for one in content.ranking
        ),
    )
    yield (
        "Costs are points for comparing contexts of this project: "
        + ", ".join(f"{kind} {weight}" for kind, weight in WEIGHTS.items())
        + " for each site."
    )
    yield ""


def _matrix(content: Content) -> Iterator[str]:
    names = [one.name for one in content.graph.contexts]
    pairs = content.graph.by_pair
    yield "## Who depends on whom"
    yield ""
    yield "A row depends on a column; the number counts the sites."
    yield ""
    yield from _table(
        ("", *map(_text, names)),
        (
            (
                f"**{_text(row)}**",
                *(str(pairs[row, column].count()) if (row, column) in pairs else "" for column in names),
            )
            for row in names
        ),
    )


def _transactions(content: Content) -> Iterator[str]:
    yield "## Transactions that span contexts"
    yield ""
    if content.observed is None:
        yield "Nothing was recorded, so none was seen. The next section says what the code predicts."
    elif not content.spans:
        yield "None was seen. That says something only about what ran while it was recorded."
    for span in content.spans:
        yield f"### {span.kind} `{span.name}`"
        yield ""
        yield f"Seen {words.many(span.count, 'time')}; writes {', '.join(span.contexts)}."
        yield from (f"- {_written(one)}" for one in span.written)
        if span.network:
            yield f"- calls {', '.join(span.network)} while it is open"
        if span.on_commit:
            yield f"- after the commit: {', '.join(f'`{name}`' for name in span.on_commit)}"
        yield ""
    yield ""


def _functions(content: Content) -> Iterator[str]:
    yield "## Functions that write several contexts, predicted"
    yield ""
    if not content.predicted:
        yield "None was found."
    yield from (
        f"- `{span.name}` writes {', '.join(span.contexts)}{_at(span.place)}"
        for span in content.predicted[:FUNCTIONS]
    )
    if len(content.predicted) > FUNCTIONS:
        yield f"- … and {len(content.predicted) - FUNCTIONS} more, all in the JSON"
    yield ""


def _cycles(content: Content) -> Iterator[str]:
    yield "## Cycles"
    yield ""
    if not content.graph.cycles:
        yield "There is none" + (" in what could be looked at." if content.partial else ".")
    for cycle in content.graph.cycles:
        yield f"- **{', '.join(map(_text, cycle.contexts))}** depend on each other."
        cut = ", ".join(
            f"{edge.source} → {edge.target} ({words.many(edge.count(), 'site')})" for edge in cycle.cut
        )
        yield f"  Without {cut} there is no cycle left."
    yield ""


def _proposal(content: Content) -> Iterator[str]:
    yield "## Proposed contexts"
    yield ""
    yield from (
        f"- **{_text(group.name)}**: {', '.join(map(_text, group.members))}"
        for group in content.proposal.groups
    )
    yield ""
    yield f"Modularity {content.proposal.modularity:.2f}; above 0.3 there is a structure to be seen."
    yield ""


def _bonds(content: Content) -> Iterator[str]:
    yield "## Bonds, with places"
    yield ""
    for edge in content.graph.edges:
        yield f"### {edge.source} → {edge.target}"
        yield ""
        yield from _edge(edge)
        yield ""


def _shared(content: Content) -> Iterator[str]:
    yield "## Shared infrastructure"
    yield ""
    if not content.graph.shared:
        yield "No context uses any."
    else:
        yield "Each context will need an answer of its own to what it uses here."
        yield ""
    for edge in content.graph.shared:
        yield f"- {_text(edge.source)} uses {_text(edge.target)}: {words.kinds(edge)}"
    yield ""


def _footer(content: Content) -> Iterator[str]:
    yield f"Left out on purpose: {words.many(len(content.static.excluded), 'file')} of tests, factories and migrations."


def _edge(edge: Edge) -> Iterator[str]:
    for kind, bonds in edge.kinds.items():
        yield f"- {words.kind(edge, kind)}"
        for bond in bonds[:PLACES]:
            detail = ", ".join(filter(None, (_text(bond.detail), bond.evidence)))
            yield f"  - `{bond.subject}`{': ' + detail if detail else ''}{_at(bond.place)}"
        if len(bonds) > PLACES:
            yield f"  - … and {len(bonds) - PLACES} more"


def _written(one: Written) -> str:
    columns = f" ({', '.join(one.columns)})" if one.columns else " (whole rows)"
    return f"{one.context or 'shared'}: {' and '.join(one.verbs)} `{one.table}`{columns}"


def _at(place: Place | None) -> str:
    return f" at `{words.at(place)}`" if words.at(place) else ""


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    titles = list(head)
    yield f"| {' | '.join(titles)} |"
    yield f"|{' --- |' * len(titles)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _text(text: str) -> str:
    return (
        text.replace("\\", "\\\\")
        .replace("|", "\\|")
        .replace("*", "\\*")
        .replace("_", "\\_")
        .replace("<", "&lt;")
    )
