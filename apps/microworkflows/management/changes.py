"""Changes of a project's files, as the reloader of ``runserver`` notices them."""

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from django.utils import autoreload

_INSTALLED = frozenset({"site-packages", "dist-packages"})


class Changes(autoreload.StatReloader):
    """Watches what Django's reloader watches: modules, templates, translations; and the project's packages.

    Those count that were not there when this process began, too: whoever restarts a program has not imported what it
    imports. It tells of changes, where Django's reloader ends its process.
    """

    def __init__(self) -> None:
        super().__init__()
        self._changed: list[Path] = []

    def __iter__(self) -> Iterator[list[Path]]:
        """Yield every second the files that have changed since, most often none."""
        autoreload.autoreload_started.send(sender=self)
        self._watch_packages()
        for _ in self.tick():
            changed, self._changed = self._changed, []
            if changed:
                self._watch_packages()
            yield changed

    def notify_file_changed(self, path: str | os.PathLike[str]) -> None:
        """Remember a file that has changed."""
        self._changed.append(Path(path))

    def _watch_packages(self) -> None:
        """Watch the packages in the folders on Python's path, less those that pip installs to, two levels deep."""
        for root in {Path(folder).resolve() for folder in sys.path}:
            if _INSTALLED.isdisjoint(root.parts) and not root.is_relative_to(sysconfig.get_path("stdlib")):
                for pattern in ("*/__init__.py", "*/*/__init__.py"):
                    for package in root.glob(pattern):
                        self.watch_dir(package.parent, "**/*.py")
