"""Set Django up as far as the project allows: settings, databases, apps with their models, admins, URLs."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from microworkflows_xray import hush, settings
from microworkflows_xray.errors import ProjectError
from microworkflows_xray.facts import Gap
from microworkflows_xray.tolerance import FAILURES, Tolerance, reason

_READY_SECONDS = 30


class Setup(Tolerance):
    """One set-up of Django in this process."""

    def __init__(self, root: Path, folders: Iterable[Path]) -> None:
        super().__init__(root, folders)
        self.lost: list[str] = []
        """Entries of INSTALLED_APPS that do not import."""

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

    def _settings(self, name: str) -> None:
        from django.conf import settings as django_settings
        from django.core.exceptions import ImproperlyConfigured

        try:
            self.insist(lambda: importlib.import_module(name))
            apps = django_settings.INSTALLED_APPS
        except FAILURES as error:
            place = self.culprit(error)
            where = f" ({place.file}, line {place.line})" if place else ""
            raise ProjectError(
                f"The settings {name!r} do not import: {reason(error, self.root)}{where}. "
                "If a variable of the environment is missing, set it; to name others, use --settings."
            ) from error
        if not apps:
            failed = "".join(f" {gap.what}: {gap.why}" for gap in self.gaps)
            raise ProjectError(
                f"The settings {name!r} install no app, so there is nothing to look at. Use --settings to name others.{failed}"
            )
        try:
            django_settings.SECRET_KEY  # noqa: B018  # Django raises if it is empty
        except ImproperlyConfigured:
            django_settings.SECRET_KEY = "the X-ray signs nothing"

    def _databases(self) -> None:
        """Let SQLite stand for databases whose drivers are missing: Django asks its backend while models are defined."""
        from django.conf import settings as django_settings
        from django.db.utils import load_backend

        databases: Any = django_settings.DATABASES
        if not isinstance(databases, dict):
            databases = django_settings.DATABASES = {"default": None}
        for alias, database in sorted(databases.items()):
            engine = (
                database.get("ENGINE", "django.db.backends.dummy") if isinstance(database, dict) else None
            )
            try:
                if not isinstance(engine, str):
                    raise TypeError("it is not known")
                load_backend(engine)
            except FAILURES as error:
                databases[alias] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
                self.gaps.append(
                    Gap(f"database {alias}", f"SQLite stands for its engine: {reason(error, self.root)}")
                )

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
                self.gaps.append(
                    Gap(f"app {config.name}", f"Its label {config.label!r} is taken by {other}.")
                )
                continue
            self._soften(config)
            configs[config.label] = config
        apps.populate(configs.values())

    def _config(self, entry: str) -> Any:
        from django.apps import AppConfig

        if entry.partition(".")[0] in self.phantoms.names:
            self.lost.append(entry)
            return None
        done, config = self.attempt(f"app {entry}", lambda: AppConfig.create(entry))
        if done:
            return config
        for name in packages_of(entry):
            try:
                return AppConfig(name, self.insist(lambda name=name: importlib.import_module(name)))  # type: ignore[misc]
            except FAILURES:
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
            # It imports all admins. They come later here, so that one cannot keep the others out.
            config.ready = lambda: None  # type: ignore[method-assign]
        else:
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

        name: Any = getattr(django_settings, "ROOT_URLCONF", None)
        if isinstance(name, str):
            self.attempt(f"URLs of {name}", lambda: importlib.import_module(name))


def packages_of(entry: str) -> tuple[str, ...]:
    """Give the dotted names that the package of an entry of INSTALLED_APPS may have: the entry may name a config in it."""
    package = re.sub(r"\.apps\.\w+$|\.[A-Z]\w*$", "", entry)
    return tuple(dict.fromkeys([entry, package]))


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except FAILURES:
        return False
