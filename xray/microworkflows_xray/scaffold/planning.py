"""Plan of a scaffold: in which packages its files go, what they are named, and where what they import lies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from microworkflows_xray.definitions import Definition, Definitions
from microworkflows_xray.facts import Static
from microworkflows_xray.seams import names
from microworkflows_xray.seams.records import Seam


class ScaffoldError(Exception):
    """A seam cannot be scaffolded; the text says why, and what to do."""


@dataclass(frozen=True)
class Side:
    """An app that takes part: one of the project's, or a new one beside an installed package that nobody edits."""

    label: str
    package: str
    folder: Path
    """Relative to the project's root."""
    new: bool


@dataclass(frozen=True)
class Plan:
    """Everything that the files of a seam agree on."""

    seam: Seam
    static: Static
    definitions: Definitions
    emitter: Side
    consumer: Side
    replaced: Definition

    @cached_property
    def own(self) -> frozenset[str]:
        """Return the top-level packages of the project."""
        apps = filter(self.definitions.is_editable_app, self.static.apps)
        packages = {app.name.partition(".")[0] for app in apps}
        packages |= {side.package.partition(".")[0] for side in (self.emitter, self.consumer)}
        return frozenset(packages | {self.static.settings.partition(".")[0]} - {""})

    @property
    def event(self) -> str:
        """Return the event's class."""
        return self.seam.event

    @property
    def type(self) -> str:
        """Return the event's type on the wire."""
        return f"{self.emitter.label}.{names.snake(self.event)}.v1"

    @cached_property
    def owner(self) -> str:
        """Return the class whose method is replaced; empty for a plain function."""
        return self.replaced.owner

    @cached_property
    def function(self) -> str:
        """Return the name of the replaced function or method."""
        return self.replaced.name.rpartition(".")[2]

    @cached_property
    def workflow(self) -> str:
        """Return the name of the microworkflow."""
        said = self.function.strip("_")
        if not any(field.parameter == "self" for field in self.seam.payload):
            return said
        thing = names.snake(names.stem(self.owner))
        return said if thing in said else f"{said}_{thing}"

    @property
    def announcement(self) -> str:
        """Return the name of the function that records the event."""
        return f"announce_{names.snake(self.event)}"

    @property
    def old(self) -> str:
        """Return the replaced function as people write it."""
        return f"{self.replaced.module}.{self.replaced.name}"

    def home_of(self, model: str) -> str:
        """Return the module from which a model is imported, by its label."""
        (found,) = (each for each in self.static.models if each.label == model)
        name = model.rpartition(".")[2]
        if found.place.function.endswith(f".{name}"):
            return found.place.function.removesuffix(f".{name}")
        return (
            found.place.file.removesuffix(".py")
            .removesuffix("/__init__")
            .removeprefix("src/")
            .replace("/", ".")
        )


def plan(seam: Seam, static: Static, root: Path | None = None) -> Plan:
    """Return the plan for a seam.

    Raises:
        ScaffoldError: the seam is a query, or its code is nowhere to be found or cannot be named from outside.
    """
    definitions = Definitions(static, root)
    replaced = definitions.of(seam.replaces)
    if seam.is_query:
        raise ScaffoldError(
            f"{seam.emitter} goes on with what {seam.consumer} returns: a query, not an event. Let the asking context keep a "
            "copy that events bring up to date, or leave the call as it is."
        )
    if replaced is None:
        raise ScaffoldError(f"The source of {seam.replaces} was not found, so its parameters are unknown.")
    emitter = definitions.of(seam.emitter)
    if seam.how == "call" and emitter is not None and not definitions.is_editable(emitter):
        raise ScaffoldError(
            f"{seam.emitter} lies in an installed package, and no method of its class can be overridden there. "
            "Fork the app first, or take a seam further out."
        )
    if replaced.owner and definitions.of(f"{replaced.module}.{replaced.owner}") is None:
        raise ScaffoldError(f"{seam.replaces} is defined inside a function. Move it to its module first.")
    return Plan(
        seam=seam,
        static=static,
        definitions=definitions,
        emitter=_side(seam.emitter_context, seam.emitter, definitions, static),
        consumer=_side(seam.consumer_context, seam.consumer, definitions, static),
        replaced=replaced,
    )


def _side(context: str, function: str, definitions: Definitions, static: Static) -> Side:
    app = definitions.app_of(function)
    if app is not None and definitions.is_editable_app(app):
        folder = (definitions.root / app.path).resolve()
        return Side(app.label, app.name, folder.relative_to(definitions.root), new=False)
    name = re.sub(r"\W+", "_", context).lower()
    if name in {each.label for each in static.apps}:
        name = f"{name}_events"
    return Side(name, name, Path(name), new=True)
