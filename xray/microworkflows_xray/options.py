"""Read ``xray.ini``, in which a project says how it wants to be looked at; all of it is optional.

.. code-block:: ini

    [xray]
    also = oscar
    exclude = scripts/*, *_demo.py
    loaders = load_service

    [contexts]
    payments = payments, orders.Payment, shop.billing
"""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass, field
from pathlib import Path

from microworkflows_xray.errors import ProjectError

NAME = "xray.ini"
_KNOWN = ("settings", "also", "exclude", "loaders")


@dataclass(frozen=True)
class Options:
    """What the file says."""

    settings: str = ""
    """Dotted name of the settings."""
    also: tuple[str, ...] = ()
    """Installed packages that count as the project's own."""
    exclude: tuple[str, ...] = ()
    """Patterns of files to leave out, beside tests, factories and migrations."""
    loaders: tuple[str, ...] = ()
    """Names of functions that take a string and return the class or model it names, beside the usual ones."""
    contexts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What belongs to each context: labels of apps or models, dotted names of modules or packages."""


def read(path: Path | None) -> Options:
    """Read the file; all defaults if the path is None.

    Raises:
        ProjectError: the file is not there or is no ini file, or it has a section or an option that means nothing.
    """
    if path is None:
        return Options()
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, default_section="")
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # contexts keep their capitals
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ProjectError(f"There is no file {path}.") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ProjectError(f"{path} is no ini file: {' '.join(str(error).split())}.") from error
    strange = [f"[{section}]" for section in parser.sections() if section not in ("xray", "contexts")]
    options = dict(parser["xray"]) if parser.has_section("xray") else {}
    strange += [option for option in options if option not in _KNOWN]
    if strange:
        raise ProjectError(
            f"{path} has {', '.join(strange)}, which means nothing. It may have [contexts] and, in [xray], {', '.join(_KNOWN)}."
        )
    lists = {name: _items(text) for name, text in options.items() if name != "settings"}
    contexts = (
        {name: _items(text) for name, text in parser["contexts"].items()}
        if parser.has_section("contexts")
        else {}
    )
    return Options(settings=options.get("settings", "").strip(), contexts=contexts, **lists)


def written(options: Options) -> str:
    """Write options as the text of a file."""
    said = {
        name: (value,) if isinstance(value, str) else value
        for name, value in vars(options).items()
        if name in _KNOWN
    }
    lines = [f"{name} = {', '.join(value)}" for name, value in said.items() if any(value)]
    lines = ["[xray]", *lines, ""] if lines else []
    lines.append("[contexts]")
    for context, members in sorted(options.contexts.items()):
        lines += [f"{context} =", *(f"    {member}" for member in members)]
    return "\n".join(lines) + "\n"


def _items(text: str) -> tuple[str, ...]:
    return tuple(filter(None, re.split(r"[,\s]+", text)))
