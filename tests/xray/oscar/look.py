"""Reads the code of a project, in its own environment: ``look.py SETTINGS OUTPUT [PACKAGE…]``, from the project's folder."""

import sys
from pathlib import Path

from microworkflows_xray import facts, project, static


def main(settings: str, output: str, *also: str) -> None:
    """Write the facts that the code tells."""
    facts.dump(static.look(project.start(settings, Path.cwd(), also=also)), Path(output))


if __name__ == "__main__":
    main(*sys.argv[1:])
