"""Code that the recorder looks at: the same files as the static half, by the names that Python's code objects carry."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from django.apps import apps
from django.conf import settings as django_settings

from microworkflows_xray import exclusions, origins
from microworkflows_xray.project import Project
from microworkflows_xray.settings import virtual


class File:
    """A file of code, or none that is looked at."""

    __slots__ = ("app", "kind", "shown")

    def __init__(self, kind: str, shown: str = "", app: str = "") -> None:
        self.kind = kind
        """``own``, ``test``, or empty for code that nobody looks at."""
        self.shown = shown
        """As in :class:`~microworkflows_xray.facts.Place`."""
        self.app = app


class Looked:
    """Tells of each file's name whether its code is looked at, and of which app it is."""

    def __init__(self, root: Path, also: Iterable[str] = ()) -> None:
        """Take the project's root, and dotted names of installed packages to look at as well.

        Raises:
            LookupError: one of these is not there.
        """
        self._root = root.resolve()
        found = origins.found(apps.get_app_configs(), self._root, also)
        places = {app.name: path for app, path in found.items()}
        looked = {path for app, path in found.items() if app.origin != "installed"}
        for name in (*(app.forked_from for app in found if app.forked_from), *also):
            path = origins.location(name)
            if path is None:
                raise LookupError(
                    f"There is no package {name}, which the recorder shall look at as well. Is its name right?"
                )
            places.setdefault(name, path)
            looked.add(path)
        self._folders = tuple(looked)
        name = getattr(django_settings, "SETTINGS_MODULE", "")
        self._project = Project(self._root, name, tuple(found), places, ())
        self._files: dict[str, File] = {}

    def file(self, name: str) -> File:
        """Return what is known of a file, by the name that its code objects carry."""
        found = self._files.get(name)
        if found is None:
            found = self._files[name] = self._read(name)
        return found

    def _read(self, name: str) -> File:
        if name.startswith("<"):
            return File("")
        path = Path(name).resolve()
        below_root = path.is_relative_to(self._root) and not virtual(path, self._root)
        if not below_root and not any(path.is_relative_to(folder) for folder in self._folders):
            return File("")
        shown = self._project.shown(path)
        reason = exclusions.reason(shown)
        if reason == "migration":
            return File("")
        return File("test" if reason else "own", shown, self._project.app_of_path(path))
