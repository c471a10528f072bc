"""Set Django up as far as the project allows, and note as gaps what it does not allow."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from microworkflows_xray import hush, piecewise, settings
from microworkflows_xray.errors import ProjectError
from microworkflows_xray.facts import Gap, Place
from microworkflows_xray.phantoms import Phantoms

_READY_SECONDS = 30
_TRIES = 200
"""Missing packages and variables after which an import is given up."""
_VARIABLE = re.compile(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[A-Z]{3,})\b")
_ABOUT_VARIABLE = re.compile(r"\benv|variable|not found|\bset\b|missing|require", re.IGNORECASE)
_SETTINGS_ERRORS = {"ImproperlyConfigured", "UndefinedValueError", "EnvError", "EnvironmentError", "KeyError"}
_FAILURES = (Exception, SystemExit)


class Setup:
    """One tolerant set-up of Django in this process."""

    def __init__(self, root: Path, folders: Iterable[Path]) -> None:
        self.root = root
        self.gaps: list[Gap] = []
        self.lost: list[str] = []
        """Entries of INSTALLED_APPS that do not import."""
        self.added: list[Path] = []
        """Folders of the project that were put on the path, since an import missed something in them."""
        self._phantoms = Phantoms()
        self._invented: set[str] = set()
        self._pieced: set[str] = set()
        for folder in reversed(list(folders)):
            _prepend(folder)

    def run(self, name: str) -> None:
        """Import the settings of this name, then the apps, their models and their admins.

        Raises:
            ProjectError: the settings do not import.
        """
        os.environ[settings.VARIABLE] = name
        hush.disconnect()
        with hush.quietly():
            self._settings(name)
            self._databases()
            self._apps()
            self._admins()
            self._urls()

    def attempt(self, what: str, action: Callable[[], Any]) -> tuple[bool, Any]:
        """Do it, standing for what is missing; note a gap if it fails all the same. Return whether it was done, and its result."""
        try:
            return True, self._insist(action)
        except _FAILURES as error:
            if what.partition(" ")[2].partition(".")[0] in self._phantoms.names:
                return False, None  # the gap of the package tells it already
            self.gaps.append(Gap(what, reason(error, self.root), self._culprit(error)))
            return False, None

    def _insist(self, action: Callable[[], Any]) -> Any:
        for _ in range(_TRIES):
            try:
                return action()
            except _FAILURES as error:
                if not (self._stand_for_package(error) or self._invent_variable(error) or self._go_piecewise(error)):
                    raise
        return action()

    def _settings(self, name: str) -> None:
        from django.conf import settings as django_settings
        from django.core.exceptions import ImproperlyConfigured

        try:
            self._insist(lambda: importlib.import_module(name))
            apps = django_settings.INSTALLED_APPS
        except _FAILURES as error:
            place = self._culprit(error)
            where = f" ({place.file}, line {place.line})" if place else ""
            raise ProjectError(
                f"The settings {name!r} do not import: {reason(error, self.root)}{where}. "
                "If a variable of the environment is missing, set it; to name others, use --settings."
            ) from error
        if not apps:
            failed = "".join(f" {gap.what}: {gap.why}" for gap in self.gaps)
            raise ProjectError(f"The settings {name!r} install no app, so there is nothing to look at. Use --settings to name others.{failed}")
        try:
            django_settings.SECRET_KEY  # noqa: B018  # Django raises if it is empty
        except ImproperlyConfigured:
            django_settings.SECRET_KEY = "the X-ray signs nothing"

    def _stand_for_package(self, error: BaseException) -> bool:
        """Find the package that an import misses in another folder of the project, or let a phantom stand for it."""
        if not isinstance(error, ModuleNotFoundError) or not error.name:
            return False
        name = error.name.partition(".")[0]
        if name in self._phantoms.names or name in sys.modules or name in sys.builtin_module_names:
            return False
        homes = sorted(
            {path.parent.parent if path.name == "__init__.py" else path.parent for path in self._candidates(name)},
            key=lambda path: (len(path.parts), path),
        )
        if homes and str(homes[0]) not in sys.path:
            _prepend(homes[0])
            self.added.append(homes[0])
            importlib.invalidate_caches()
            return True
        self._phantoms.stand_for(name)
        self.gaps.append(Gap(f"package {name}", "It is not installed here, so what it defines is not seen.", self._culprit(error)))
        return True

    def _candidates(self, name: str) -> list[Path]:
        patterns = [f"{'*/' * depth}{name}{end}" for depth in range(4) for end in (".py", "/__init__.py")]
        found = [path for pattern in patterns for path in self.root.glob(pattern)]
        inside = [path for path in found if not settings.virtual(path, self.root)]
        return [path for path in inside if not _is_package(path.parent.parent if path.name == "__init__.py" else path.parent)]

    def _invent_variable(self, error: BaseException) -> bool:
        """Give a variable of the environment that the settings miss some value."""
        if not {kind.__name__ for kind in type(error).__mro__} & _SETTINGS_ERRORS:
            return False
        if not (_from_environment(error) if isinstance(error, KeyError) else _ABOUT_VARIABLE.search(str(error))):
            return False
        found = [name for name in _VARIABLE.findall(str(error)) if name not in os.environ and name not in self._invented]
        if not found or found[0] == settings.VARIABLE:
            return False
        os.environ[found[0]] = _invented(found[0])
        self._invented.add(found[0])
        self.gaps.append(Gap(f"variable {found[0]}", f"It is not set, so it was taken as {os.environ[found[0]]!r}.", self._culprit(error)))
        return True

    def _go_piecewise(self, error: BaseException) -> bool:
        """Import the module of the project at whose level the error came statement by statement; once for each module."""
        name = piecewise.failing(error.__traceback__, self._belongs)
        if not name or name in self._pieced:
            return False
        self._pieced.add(name)
        failed: list[BaseException] = []

        def run(statement: Callable[[], Any]) -> None:
            try:
                self._insist(statement)
            except _FAILURES as failure:
                failed.append(failure)

        if not piecewise.load(name, run):
            return False
        if failed:
            number = f"{len(failed)} of its statements fail, the first with" if len(failed) > 1 else "one of its statements fails with"
            self.gaps.append(Gap(f"parts of {name}", f"{number} {reason(failed[0], self.root)}", self._culprit(failed[0])))
        return True

    def _belongs(self, file: str) -> bool:
        path = Path(file)
        return path.is_relative_to(self.root) and not settings.virtual(path, self.root)

    def _databases(self) -> None:
        """Let SQLite stand for databases whose drivers are missing: Django asks its backend while models are defined."""
        from django.conf import settings as django_settings
        from django.db.utils import load_backend

        databases = django_settings.DATABASES if isinstance(django_settings.DATABASES, dict) else {}
        for alias, database in sorted(databases.items()):
            engine = database.get("ENGINE", "django.db.backends.dummy") if isinstance(database, dict) else None
            try:
                if not isinstance(engine, str):
                    raise TypeError("it is not known")
                load_backend(engine)
            except _FAILURES as error:
                databases[alias] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
                self.gaps.append(Gap(f"database {alias}", f"SQLite stands for its engine: {reason(error, self.root)}"))

    def _apps(self) -> None:
        from django.apps import AppConfig, apps
        from django.conf import settings as django_settings

        configs: dict[str, AppConfig] = {}
        for entry in django_settings.INSTALLED_APPS:
            config = self._config(str(entry))
            if config is None:
                continue
            if config.label in configs:
                other = configs[config.label].name
                self.gaps.append(Gap(f"app {config.name}", f"Its label {config.label!r} is taken by {other}."))
                continue
            self._soften(config)
            configs[config.label] = config
        apps.populate(configs.values())  # type: ignore[arg-type]  # Django takes configs as well as names

    def _config(self, entry: str) -> Any:
        from django.apps import AppConfig

        if entry.partition(".")[0] in self._phantoms.names:
            self.lost.append(entry)
            return None
        done, config = self.attempt(f"app {entry}", lambda: AppConfig.create(entry))
        if done:
            return config
        for name in packages_of(entry):
            try:
                return AppConfig(name, self._insist(lambda name=name: importlib.import_module(name)))  # type: ignore[misc]
            except _FAILURES:
                continue
        self.lost.append(entry)
        return None

    def _soften(self, config: Any) -> None:
        """Let a failure of this app's models or of its ready() cost this app alone."""
        from django.contrib.admin.apps import SimpleAdminConfig

        import_models, ready = config.import_models, config.ready

        def models() -> None:
            from django.apps import apps

            self.attempt(f"models of {config.label}", import_models)
            config.models = apps.all_models[config.label]

        def start() -> None:
            with hush.within(_READY_SECONDS):
                ready()

        config.import_models = models
        if isinstance(config, SimpleAdminConfig):
            config.ready = lambda: None  # it imports all admins, which come later here, so that one cannot keep the others out
            return
        config.ready = lambda: self.attempt(f"ready() of {config.label}", start)

    def _admins(self) -> None:
        from django.apps import apps

        if not apps.is_installed("django.contrib.admin"):
            return
        for config in apps.get_app_configs():
            name = f"{config.name}.admin"
            if _exists(name):
                self.attempt(f"admin of {config.label}", lambda name=name: importlib.import_module(name))  # type: ignore[misc]

    def _urls(self) -> None:
        """Import the URLs and with them the views: nothing needs them, but what is loaded is certain."""
        from django.conf import settings as django_settings

        name = getattr(django_settings, "ROOT_URLCONF", None)
        if isinstance(name, str):
            self.attempt(f"URLs of {name}", lambda: importlib.import_module(name))

    def _culprit(self, error: BaseException) -> Place | None:
        """Find the innermost line of the project that the error passed."""
        if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(self.root):
            return Place(self._shown(Path(error.filename)), error.lineno or 0)
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if self._belongs(frame.filename):
                return Place(self._shown(Path(frame.filename)), frame.lineno or 0)
        return None

    def _shown(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()


def packages_of(entry: str) -> tuple[str, ...]:
    """Give the dotted names that the package of an entry of INSTALLED_APPS may have: the entry may name a config in it."""
    package = re.sub(r"\.apps\.\w+$|\.[A-Z]\w*$", "", entry)
    return tuple(dict.fromkeys([entry, package]))


def _prepend(folder: Path) -> None:
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))


def _is_package(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except _FAILURES:
        return False


def reason(error: BaseException, root: Path) -> str:
    """Put an error into one line, paths relative to the root."""
    text = " ".join(str(error).split()).replace(f"{root}{os.sep}", "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _from_environment(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).name in {"os.py", "<frozen os>"}


def _invented(name: str) -> str:
    if "DATABASE" in name or name.endswith("DB_URL"):
        return "sqlite://:memory:"
    if name.endswith(("URL", "URI", "DSN", "ENDPOINT")):
        return "http://127.0.0.1"
    if name.endswith(("PORT", "TIMEOUT", "SIZE", "COUNT", "SECONDS", "TTL", "ID", "DEBUG")):
        return "1"
    return "xray"
