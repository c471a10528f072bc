"""The flow map: every microworkflow and the events between them, as Mermaid text, read from the registry."""

import re
from collections.abc import Iterator

from microworkflows import registry
from microworkflows.cloudevents import context_of

_NOBODY = "nobody"
_FENCE = re.compile(r"^```mermaid\n.*?^```$", re.MULTILINE | re.DOTALL)


def flow_map() -> str:
    """Return the flow map as a Mermaid flowchart, the same text for the same declarations.

    Contexts are subgraphs, microworkflows are nodes, events are edges. A flow begins at a context's round node, with
    an event that is announced but emitted by no microworkflow. An event that nobody hears leads to *nobody*; one that
    no installed context announces comes from the node *elsewhere* of its context.
    """
    edges = _edges()
    lines = ["flowchart LR"]
    for context in sorted({*registry.contexts(), *(source for source, _ in _origins().values())}):
        lines += _subgraph(context)
    if any(target == _NOBODY for _, _, target in edges):
        lines.append(f"    {_NOBODY}((nobody))")
    lines += [f"    {source} -->|{label}| {target}" for source, label, target in edges]
    return "\n".join(lines) + "\n"


def in_page(page: str) -> str:
    """Return a Markdown page with its Mermaid block replaced by the flow map.

    Raises:
        ValueError: the page does not have exactly one such block.
    """
    blocks = _FENCE.findall(page)
    if len(blocks) != 1:
        raise ValueError(
            f"The page has {len(blocks)} blocks that begin with ```mermaid; it needs exactly one."
        )
    return page.replace(blocks[0], f"```mermaid\n{flow_map()}```")


def _edges() -> list[tuple[str, str, str]]:
    """Return (node, event, node) for each emission and each hearing, sorted."""
    edges = set()
    for event_type in {
        *registry.announced(),
        *(each for workflow in registry.workflows() for each in workflow.types),
    }:
        sources = [
            _node(workflow.context, workflow.name)
            for workflow in registry.workflows()
            if event_type in workflow.emitted_types
        ] or [_origins()[event_type][1]]
        targets = [_node(workflow.context, workflow.name) for workflow in registry.listeners(event_type)] or [
            _NOBODY
        ]
        edges |= {(source, _event_label(event_type), target) for source in sources for target in targets}
    return sorted(edges)


def _origins() -> dict[str, tuple[str, str]]:
    """Return (context, node) by type for the events that no microworkflow here emits."""
    emitted = {each for workflow in registry.workflows() for each in workflow.emitted_types}
    heard = {each for workflow in registry.workflows() for each in workflow.types}
    announced = set(registry.announced())
    origins = {}
    for event_type in (announced | heard) - emitted:
        context = context_of(event_type)
        origins[event_type] = (context, _node(context, "begin" if event_type in announced else "elsewhere"))
    return origins


def _subgraph(context: str) -> Iterator[str]:
    nodes = {node for source, node in _origins().values() if source == context}
    yield f'    subgraph context_{context}["{context}"]'
    if _node(context, "begin") in nodes:
        yield f"        {_node(context, 'begin')}([a flow begins])"
    if _node(context, "elsewhere") in nodes:
        yield f"        {_node(context, 'elsewhere')}([elsewhere])"
    for workflow in registry.workflows():
        if workflow.context == context:
            yield f"        {_node(context, workflow.name)}[{workflow.name}]"
    yield "    end"


def _node(context: str, name: str) -> str:
    # Mermaid takes "end" for a keyword and dots for styling, so every id has a prefix and no dot.
    return f"{context}__{name}"


def _event_label(event_type: str) -> str:
    _, fact, version = event_type.split(".")
    name = "".join(word.capitalize() for word in fact.split("_"))
    return name if version == "v1" else f"{name} {version}"
