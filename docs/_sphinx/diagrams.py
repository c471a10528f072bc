"""Diagrams: a fence of Mermaid, which code hosts draw, becomes a picture when the site is built.

Mermaid itself draws it, in a small JavaScript engine. That takes a second or two each, so drawings are kept by their source.
"""

from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform

LOOK = {
    "theme": "base",
    "config": {
        "themeVariables": {
            "fontSize": "15px",
            "primaryColor": "#e6f2ec",
            "primaryBorderColor": "#5d9c82",
            "primaryTextColor": "#15261f",
            "lineColor": "#54685f",
            "clusterBkg": "#f7faf8",
            "clusterBorder": "#b9cec4",
            "edgeLabelBackground": "#ffffff",
            "labelBackgroundColor": "#ffffff",
        }
    },
}


class DrawDiagrams(SphinxTransform):
    """Put the drawing of each diagram in the place of its source."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        for block in list(self.document.findall(nodes.literal_block)):
            if block.get("language") == "mermaid":
                drawing = _drawn(block.astext(), into=Path(self.env.doctreedir).parent / "diagrams")
                heading = block.parent.next_node(nodes.title)
                about = heading.astext() if heading else self.env.docname
                block.replace_self(
                    nodes.image(
                        uri=f"/{drawing.relative_to(self.env.srcdir)}",
                        alt=f"Diagram: {about}",
                        classes=["diagram"],
                    )
                )


def _drawn(source: str, *, into: Path) -> Path:
    name = sha256(f"{version('mermaidx')}{LOOK}{source}".encode()).hexdigest()[:16]
    drawing = into / f"{name}.svg"
    if not drawing.exists():
        from mermaidx import render  # slow to import

        into.mkdir(parents=True, exist_ok=True)
        drawing.write_text(render(source, **LOOK).svg())
    return drawing


def setup(app: Any) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_transform(DrawDiagrams)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
