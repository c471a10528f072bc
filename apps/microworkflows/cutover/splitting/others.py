"""Whose table is whose, in a database that was made for some contexts: theirs, everybody's, or others'."""

from collections.abc import Collection, Iterator

from django.apps import AppConfig, apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from microworkflows.cutover import conf
from microworkflows.cutover.models import OwnDatabase

DJANGOS = frozenset({"admin", "auth", "contenttypes", "sessions", "sites"})
"""Labels of Django's own apps that each database has for itself: without them nobody could log in to its admin."""

_KIT = {"microworkflows", "django_outbox_pattern"}


def made_for(connection: BaseDatabaseWrapper) -> dict[str, OwnDatabase]:
    """Return the contexts for which a database was made; none for a monolith's."""
    if OwnDatabase._meta.db_table not in connection.introspection.table_names():
        return {}
    return {own.context: own for own in OwnDatabase.objects.using(connection.alias).order_by("pk")}


def of_others(contexts: Collection[str]) -> dict[str, type[Model]]:
    """Return, by table, the models whose rows are not where these contexts are."""
    at_home = {model._meta.db_table for model in _models() if is_at_home(model._meta.label_lower, contexts)}
    return {
        model._meta.db_table: model
        for model in _models()
        if model._meta.db_table not in at_home and not model._meta.proxy
    }


def at_home(contexts: Collection[str]) -> set[str]:
    """Return the tables of models that belong where these contexts are."""
    return {model._meta.db_table for model in _models()} - of_others(contexts).keys()


def everywhere(contexts: Collection[str]) -> list[str]:
    """Return the tables, other than the kit's, that are left open although they do not belong to these contexts."""
    return sorted(
        model._meta.db_table
        for model in _models()
        if model._meta.app_label not in contexts
        and not is_of_kit(model._meta.app_label)
        and is_at_home(model._meta.label_lower, contexts)
        and not model._meta.proxy
    )


def is_at_home(label: str, contexts: Collection[str]) -> bool:
    """Return True if an app, or one model of it as ``app_label.model``, belongs where these contexts are.

    Of the app of the user model this holds for that model and its many-to-many tables, and so for the app as such.
    """
    app, _, model = label.partition(".")
    if app in contexts or is_of_kit(app) or _is_djangos(app):
        return True
    named = {name.lower() for name in conf.in_every_database()}
    if app.lower() in named or label.lower() in named:
        return True
    users = _of_users()
    return label.lower() in users if model else any(user.startswith(f"{app.lower()}.") for user in users)


def is_of_kit(app: str) -> bool:
    """Return True for the kit's apps, and for that of outbox and inbox."""
    config = apps.app_configs.get(app)
    return config is not None and config.name.partition(".")[0] in _KIT


def _is_djangos(app: str) -> bool:
    config: AppConfig | None = apps.app_configs.get(app)
    return app in DJANGOS and config is not None and config.name.startswith("django.contrib.")


def _of_users() -> set[str]:
    try:
        user = get_user_model()
    except ImproperlyConfigured:  # no users in this project
        return set()
    models = [user, *user._meta.get_parent_list()]
    fields = [field for model in models for field in model._meta.local_many_to_many]
    through = [
        model
        for field in fields
        if (model := field.remote_field.through) is not None and model._meta.auto_created
    ]
    return {model._meta.label_lower for model in (*models, *through)}


def _models() -> Iterator[type[Model]]:
    yield from apps.get_models(include_auto_created=True)
