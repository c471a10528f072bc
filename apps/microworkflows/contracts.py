"""Contracts as files: each announced event and each reading of a foreign event as JSON Schema, beside the code.

``<folder>/<context>/announces/<type>.json`` holds what an event's payload promises, ``<folder>/<context>/reads/<type>.<Reading>.json``
what a reading takes. :mod:`~microworkflows.verdicts` compares them, so services that share no code can exchange them.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.apps import apps

from microworkflows import registry, schemas
from microworkflows.cloudevents import context_of
from microworkflows.comparison.options import REMOVED, Schema
from microworkflows.errors import ContractError
from microworkflows.events import IncomingEvent

ANNOUNCES: Final = "announces"
READS: Final = "reads"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, kw_only=True, order=True)
class Name:
    """Whose contract it is, and about which event."""

    context: str
    kind: str
    """Either ``announces`` or ``reads``."""
    event_type: str
    reading: str = ""
    """Name of the reading's class."""

    def __str__(self) -> str:
        return f"{self.context}.{self.reading} reads {self.event_type}" if self.reading else self.event_type

    @property
    def path(self) -> Path:
        """Its file, in the folder of all contracts."""
        stem = f"{self.event_type}.{self.reading}" if self.reading else self.event_type
        return Path(self.context, self.kind, f"{stem}.json")

    @classmethod
    def of(cls, path: Path) -> "Name":
        """Return the name of a file in a folder of contracts.

        Raises:
            ContractError: it is not called as a contract is.
        """
        context, kind, stem = (*path.parts[:-1], path.stem) if len(path.parts) == 3 else ("", "", "")
        event_type, reading = (stem, "") if kind == ANNOUNCES else stem.rpartition(".")[::2]
        if kind not in (ANNOUNCES, READS) or not event_type:
            raise ContractError(
                f"{path} is no contract: they are called CONTEXT/announces/TYPE.json and CONTEXT/reads/TYPE.Reading.json. "
                "Remove it from the folder."
            )
        return cls(context=context, kind=kind, event_type=event_type, reading=reading)


Contracts = Mapping[Name, Schema]


def declared() -> dict[Name, Schema]:
    """Return the contracts that the code of this process declares.

    Raises:
        ContractError: two readings have one name.
    """
    found = {
        Name(context=context_of(event_type), kind=ANNOUNCES, event_type=event_type): schemas.promised(event)
        for event_type, event in registry.announced().items()
    }
    for reading in registry.readings():
        name = name_of(reading)
        if name in found:
            raise ContractError(f"Two readings of {name.context} are called {reading.__name__}: rename one.")
        found[name] = schemas.read(reading)
    return found


def contexts_here(now: Contracts) -> set[str]:
    """Return the contexts whose contracts this process declares: those of its apps. Others' files are foreign to it."""
    return {name.context for name in now} | {app.label for app in apps.get_app_configs()}


def name_of(reading: type[IncomingEvent]) -> Name:
    """Return the name of a reading's contract: its context is that of the app in which it is declared."""
    app = apps.get_containing_app_config(reading.__module__)
    context = (
        app.label if app else reading.__module__.rpartition(".")[0].replace(".", "_") or reading.__module__
    )
    return Name(context=context, kind=READS, event_type=reading.event_type, reading=reading.__name__)


def load(folder: Path) -> dict[Name, Schema]:
    """Return the contracts that a folder holds.

    Raises:
        ContractError: a file in it cannot be read as one.
    """
    found = {}
    for path in sorted(folder.rglob("*.json")):
        name = Name.of(path.relative_to(folder))
        try:
            found[name] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ContractError(
                f"{path} cannot be read as JSON: {error}. Take it from version control."
            ) from error
        if not isinstance(found[name], dict):
            raise ContractError(
                f"{path} holds no JSON Schema, which is an object. Take it from version control."
            )
    return found


def written(name: Name, schema: Schema, *, before: Schema | None) -> str:
    """Return the text of a contract's file: fields that were removed stay in it, so that their names keep their meaning."""
    kept = schema if before is None or name.kind == READS else _with_removed(schema, before)
    return json.dumps({"$schema": _DRAFT, **kept}, indent=2, ensure_ascii=False) + "\n"


def _with_removed(schema: Schema, before: Schema) -> Schema:
    models = {**before.get("$defs", {}), **schema.get("$defs", {})}
    known = {name: _noted(model, before.get("$defs", {}).get(name, {})) for name, model in models.items()}
    made = _noted(schema, before)
    used: set[str] = set()
    ahead = [json.dumps({**made, "$defs": {}})]
    while ahead:
        text = ahead.pop()
        new = {name for name in known if f'"#/$defs/{name}"' in text} - used
        used |= new
        ahead += [json.dumps(known[name]) for name in new]
    defs = {name: known[name] for name in sorted(used)}
    return {**made, **({"$defs": defs} if defs else {})}


def _noted(model: Schema, before: Schema) -> Schema:
    fields = model.get("properties", {})
    gone = {**before.get(REMOVED, {}), **before.get("properties", {})}
    removed = {name: field for name, field in gone.items() if name not in fields}
    bare = {name: value for name, value in model.items() if name != REMOVED}
    return {**bare, REMOVED: removed} if removed and "properties" in model else bare


def stale(*, before: Contracts, now: Contracts) -> list[str]:
    """Return what to write anew, in words: contracts that are new, gone, or changed without harm."""
    lines = [f"{name} is new" for name in sorted(now.keys() - before.keys())]
    lines += [f"{name} is gone" for name in sorted(before.keys() - now.keys())]
    return lines + [
        f"{name} has changed"
        for name in sorted(before.keys() & now.keys())
        if json.loads(written(name, now[name], before=before[name])) != before[name]
    ]


def write(folder: Path, *, before: Contracts, now: Contracts, accepted: Collection[str] = ()) -> None:
    """Write the contracts into a folder, and delete those that nobody declares any more.

    An accepted type, such as ``orders.order_accepted.v1``, is written as if it were new: nothing of the old one is remembered.
    """
    for name in before.keys() - now.keys():
        (folder / name.path).unlink()
    for name, schema in now.items():
        path = folder / name.path
        path.parent.mkdir(parents=True, exist_ok=True)
        old = None if name.event_type in accepted else before.get(name)
        path.write_text(written(name, schema, before=old), encoding="utf-8")
