"""Which context an app, a table or a place belongs to: stub until the real one is merged."""

from __future__ import annotations

from pathlib import Path

from microworkflows_xray.facts import Place, Static


class Contexts:
    """Each own or forked app is a context; the others are shared."""

    SHARED = ""

    def __init__(self, apps: dict[str, str], tables: dict[str, str]) -> None:
        self._apps = apps
        self._tables = tables

    @classmethod
    def read(cls, path: Path | None, static: Static) -> Contexts:
        apps = {app.label: app.label for app in static.apps if app.origin != "installed"}
        return cls(apps, {model.table: apps.get(model.app, "") for model in static.models})

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(set(self._apps.values())))

    def of_app(self, label: str) -> str:
        return self._apps.get(label, self.SHARED)

    def of_table(self, table: str) -> str:
        return self._tables.get(table, self.SHARED)

    def of_place(self, place: Place) -> str:
        return self.of_app(place.app)
