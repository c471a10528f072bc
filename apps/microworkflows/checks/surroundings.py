"""Checks of what the kit runs on: settings, database, broker, Celery and versions.

E030 to E032 warn while no app declares an event or a microworkflow: until then there is nothing to lose. From then on
they stop every command. Celery ignores what checks find, so a worker of the contexts' queues, or a relay, looks at its start
for all that would lose events or do something twice.
"""

import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, Final

from celery import Celery
from django.apps import apps
from django.conf import settings
from django.core.checks import WARNING, CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import SystemCheckError
from django.db import connections, router
from django.utils.version import get_version_tuple
from kombu import Connection

from microworkflows import celery_app, conf, embedded, poolers, registry, topology
from microworkflows.cloudevents import context_of
from microworkflows.errors import SharedSessionError
from microworkflows.models import InboxEvent, OutboxEvent

TAG = "microworkflows"
_DATABASES = ("postgresql", "sqlite")
_PSYCOPG = (3, 2, 4)
_LONGEST_NAME = 255
_RESERVED = "amq."
_BROKERS = ("amqp", "amqps", "pyamqp", "embedded")

TESTED: Final = {
    "Python": ("3.11", "3.13"),
    "Django": ("5.2", "6.1"),
    "celery": ("5.5", "5.7"),
    "kombu": ("5.5", "5.7"),
    "amqp": ("5.1", "5.4"),
    "billiard": ("4.2", "4.3"),
}
"""Oldest and newest feature release that the tests have passed with; a test holds pyproject.toml to it."""


@register(TAG)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """E001: ``MICROWORKFLOWS`` has an unknown setting, or a value out of range."""
    try:
        conf.check()
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="See microworkflows.conf.Settings.", id="microworkflows.E001")]
    return []


@register(TAG)
def check_database(**kwargs: Any) -> list[CheckMessage]:
    """E002: outbox and inbox lie in a database that the kit does not support, or apart from each other."""
    aliases = {router.db_for_write(model) for model in (OutboxEvent, InboxEvent)}
    if len(aliases) > 1:
        return [
            Error(
                f"Outbox and inbox lie in different databases ({', '.join(sorted(aliases))}), so a handled message and "
                "the events emitted for it cannot commit together.",
                hint="Route both models of django_outbox_pattern to one database.",
                id="microworkflows.E002",
            )
        ]
    return [
        Error(
            f"The database {alias!r} is {connections[alias].vendor}; microworkflows runs on PostgreSQL and SQLite.",
            hint="Change DATABASES.",
            id="microworkflows.E002",
        )
        for alias in aliases
        if connections[alias].vendor not in _DATABASES
    ]


@register(TAG)
def check_models(**kwargs: Any) -> list[CheckMessage]:
    """E004: a context's models lie in another database than its inbox, so that its steps do not commit together with it."""
    inbox = router.db_for_write(InboxEvent)
    elsewhere: dict[str, list[str]] = defaultdict(list)
    for context in {workflow.context for workflow in registry.workflows()} & {*apps.app_configs}:
        for model in apps.get_app_config(context).get_models():
            if model._meta.managed and not model._meta.proxy and router.db_for_write(model) != inbox:
                elsewhere[context].append(f"{model.__name__} in {router.db_for_write(model)!r}")
    return [
        Error(
            f"The models of {context} do not lie where its inbox does ({inbox!r}): {', '.join(names)}. What its "
            "microworkflows write there does not commit together with the message, and is written again by a retry.",
            hint=f"Give {context} a database of its own by a process of its own, whose default database that is, inbox and "
            "outbox included; or route its models to the inbox's database.",
            id="microworkflows.E004",
        )
        for context, names in sorted(elsewhere.items())
    ]


@register(TAG)
def check_driver(**kwargs: Any) -> list[CheckMessage]:
    """E003: PostgreSQL is reached through psycopg2, or through a psycopg that loses notifications."""
    connection: Any = connections[router.db_for_write(OutboxEvent)]
    if connection.vendor != "postgresql":
        return []
    name, version = connection.Database.__name__, connection.Database.__version__.split()[0]
    if name == "psycopg" and get_version_tuple(version) >= _PSYCOPG:
        return []
    return [
        Error(
            f"PostgreSQL is reached through {name} {version}, which misses the notifications that wake the relay.",
            hint=f"Install psycopg {'.'.join(map(str, _PSYCOPG))} or newer, say by the extra "
            "django-microworkflows[postgres]; Django prefers it to psycopg2.",
            id="microworkflows.E003",
        )
    ]


@register(TAG)
def check_direct_database(**kwargs: Any) -> list[CheckMessage]:
    """E063: ``DIRECT_DATABASE`` names no alias, or one of another kind of database."""
    try:
        direct = conf.current().direct_database
    except ImproperlyConfigured:
        return []  # E001 says so
    usual = router.db_for_write(OutboxEvent)
    if direct is None or (direct in connections and connections[direct].vendor == connections[usual].vendor):
        return []
    return [
        Error(
            f"MICROWORKFLOWS['DIRECT_DATABASE'] is {direct!r}, which is "
            + (
                f"{connections[direct].vendor}, as {usual!r} is not."
                if direct in connections
                else "no alias of DATABASES."
            ),
            hint=f"Add the database of {usual!r} to DATABASES once more, with the address of PostgreSQL itself, and name that alias.",
            id="microworkflows.E063",
        )
    ]


@register(TAG, Tags.database)
def check_pooler(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """W065: the way to the database leads through a pooler that shares sessions; W066: and Django uses cursors that outlive
    a transaction; E062: and prepares statements, which the pooler loses; E064: the direct way past it leads elsewhere.
    """
    usual = connections[router.db_for_write(OutboxEvent)]
    problems = [*check_direct_database(), *check_settings(), *check_driver()]
    if usual.alias not in (databases or ()) or usual.vendor != "postgresql" or problems:
        return []
    found: list[CheckMessage] = []
    if poolers.is_shared(usual):
        if conf.current().direct_database is None:
            found.append(Warning(str(poolers.shared(usual)), id="microworkflows.W065"))
        if not usual.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]:
            found.append(
                Warning(
                    f"The way to the database {usual.alias!r} leads through a pooler in transaction mode, where the cursors by which "
                    "Django iterates over large results do not last.",
                    hint=f"Set DISABLE_SERVER_SIDE_CURSORS = True in DATABASES[{usual.alias!r}].",
                    id="microworkflows.W066",
                )
            )
        if usual.settings_dict["OPTIONS"].get("prepare_threshold") is not None and poolers.loses_prepared(
            usual
        ):
            found.append(
                Error(
                    f"The way to the database {usual.alias!r} leads through a pooler that does not carry prepared statements from one "
                    "session to the next, so that they fail in the midst of work.",
                    hint="Use PgBouncer 1.21 or newer with max_prepared_statements, or leave prepare_threshold out of the OPTIONS in "
                    f"DATABASES[{usual.alias!r}].",
                    id="microworkflows.E062",
                )
            )
    try:
        poolers.raise_if_elsewhere(usual.alias, table=OutboxEvent._meta.db_table)
    except SharedSessionError as error:
        found.append(Error(str(error), id="microworkflows.E064"))
    return found


@register(TAG)
def check_users(**kwargs: Any) -> list[CheckMessage]:
    """E034: a context has no user among ``USERS``; W035: the broker has no users; W036: this process is none of them."""
    try:
        users = conf.current().users
    except ImproperlyConfigured:
        return []  # E001 says so
    if not users:
        return []
    if _broker_urls(celery_app.get())[0].startswith("embedded:"):
        return [
            Warning(
                "MICROWORKFLOWS['USERS'] names users, and the embedded broker has none: it believes everybody.",
                hint="Use RabbitMQ, or leave USERS out.",
                id="microworkflows.W035",
            )
        ]
    heard = {context_of(each) for workflow in registry.workflows() for each in workflow.types}
    user = celery_app.get().connection_for_write().userid or "guest"
    strangers: list[CheckMessage] = [
        Warning(
            f"This process logs in to the broker as {user!r}, whom MICROWORKFLOWS['USERS'] does not name, so nobody believes "
            "what it publishes.",
            hint="Correct the login in the broker's URL, or USERS. Silence this where only an administrator works.",
            id="microworkflows.W036",
        )
    ]
    return (strangers if user not in users.values() else []) + [
        Error(
            f"MICROWORKFLOWS['USERS'] names no user for {name!r}, so workers refuse what it publishes.",
            hint=f"Add the name of the broker's user by which {name} logs in.",
            id="microworkflows.E034",
        )
        for name in sorted({*topology.queues(), *heard} - users.keys())
    ]


@register(TAG)
def check_names(**kwargs: Any) -> list[CheckMessage]:
    """E060: ``PREFIX`` makes a name that the broker refuses."""
    try:
        return list(_check_names())
    except ImproperlyConfigured:
        return []  # E001 says so


@register(TAG)
def check_celery(**kwargs: Any) -> list[CheckMessage]:
    """E030 to W033: Celery is set up so that events would be lost, never consumed, or kill their workers.

    E030 to E032 warn while nothing is declared.
    """
    problems = _problems_of(celery_app.get())
    if not registry.contexts():
        for problem in problems:
            problem.level = WARNING
    return [*problems, *_check_time_limit()]


def problems_at_start(app: Celery) -> list[CheckMessage]:
    """Return the errors for which neither a worker of the contexts' queues nor a relay of ``app`` may start.

    They are E002, E004, E030 to E032, E060 and E063.
    """
    databases = [*check_database(), *check_models(), *check_direct_database()]
    return [*databases, *_problems_of(app), *_check_names()]


def _problems_of(app: Celery) -> list[CheckMessage]:
    return [*_check_worker(app), *_check_broker(app), *_check_eager(app)]


def raise_for(problems: Iterable[CheckMessage]) -> None:
    """Raise SystemCheckError with what each problem is and what to do, if there is one that is not silenced."""
    said = [str(problem) for problem in problems if not problem.is_silenced()]
    if said:
        raise SystemCheckError("Not started, or events would be lost or done twice:\n\n" + "\n".join(said))


def guard_worker(instance: Any, **kwargs: Any) -> None:
    """End a worker of the contexts' queues that would lose events or do them twice; receives ``celeryd_after_setup``."""
    app = instance.app
    if not celery_app.is_apart(app) and topology.among(app.amqp.queues.consume_from):
        try:
            raise_for(problems_at_start(app))
        except SystemCheckError as error:
            raise SystemExit(str(error)) from None  # Celery logs other exceptions, and goes on


def _check_worker(app: Celery) -> Iterator[CheckMessage]:
    if "EventConsumer" not in str(app.conf.worker_consumer):
        yield Error(
            f"The Celery app {app.main!r} was not set up for events: its workers would ack and drop them.",
            hint="Call microworkflows.worker.setup(app) where the app is made, import the app in the project's "
            "__init__.py, and leave the setting worker_consumer alone.",
            id="microworkflows.E030",
        )


def _check_broker(app: Celery) -> Iterator[CheckMessage]:
    schemes = {url.partition(":")[0] for url in _broker_urls(app)}
    if strange := schemes.difference(_BROKERS):
        yield Error(
            f"The broker is {', '.join(sorted(strange))}, which confirms no messages, so the relay cannot know which ones are safe.",
            hint="Use RabbitMQ (amqp://) or, on one machine, the embedded broker (embedded:///folder).",
            id="microworkflows.E031",
        )
    elif "embedded" in schemes:
        try:  # at work, it would be waited for as if it were away
            embedded.folder_of(Connection(app.conf.broker_url))
        except embedded.BrokerFolderError as error:
            yield Error(str(error), id="microworkflows.E031")


def _check_names() -> Iterator[CheckMessage]:
    names = [topology.exchange().name, *map(topology.owner_name, topology.queues())]
    longest = max(names, key=lambda name: len(name.encode()))
    if len(longest.encode()) > _LONGEST_NAME:
        why = f"has {len(longest.encode())} bytes, and AMQP allows {_LONGEST_NAME}"
    elif longest.startswith(_RESERVED) and conf.current().prefix:
        why = f"begins with {_RESERVED!r}, which brokers keep for themselves"
    else:
        return
    yield Error(
        f"The broker would refuse the name {longest!r}: it {why}.",
        hint="Change MICROWORKFLOWS['PREFIX'] or ['EXCHANGE'].",
        id="microworkflows.E060",
    )


def _broker_urls(app: Celery) -> list[str]:
    """Return the URL of the broker, or those among which Celery fails over."""
    given: Any = app.conf.broker_url or "amqp"
    return [*given] if isinstance(given, list | tuple) else str(given).split(";")


@register(TAG)
def check_routes(**kwargs: Any) -> list[CheckMessage]:
    """E037: a task of the project's own is sent to a context's queue, where it would become a dead letter."""
    app = celery_app.get()
    try:
        queues = {label: label for label in topology.queues()} | topology.by_name()
    except ImproperlyConfigured:
        return []  # E001 says so
    routes = app.conf.task_routes if isinstance(app.conf.task_routes, Mapping) else {}
    sent = {
        str(name): route if isinstance(route, str) else route.get("queue")
        for name, route in routes.items()
        if isinstance(route, str | Mapping)
    }
    sent["task_default_queue"] = app.conf.task_default_queue
    return [
        Error(
            f"{name} goes to the queue {_name(queue)!r}, which is the queue of the context {queues[_name(queue)]!r}: a worker there takes "
            "events only, and makes everything else a dead letter.",
            hint="Send own tasks to a queue of another name, or give them a Celery app and a broker of their own.",
            id="microworkflows.E037",
        )
        for name, queue in sent.items()
        if _name(queue) in queues
    ]


def _name(queue: Any) -> str:
    return str(getattr(queue, "name", queue))


def _check_eager(app: Celery) -> Iterator[CheckMessage]:
    namespace = getattr(app, "namespace", None)  # the settings may have changed since Celery read them
    if app.conf.task_always_eager or (
        namespace and getattr(settings, f"{namespace}_TASK_ALWAYS_EAGER", False)
    ):
        yield Error(
            "task_always_eager is on, but no event reaches a microworkflow through it.",
            hint="Turn it off; tests of microworkflows use microworkflows.testing. If tests of your own tasks need it, "
            "silence microworkflows.E032 in the tests' settings.",
            id="microworkflows.E032",
        )


def _check_time_limit() -> Iterator[CheckMessage]:
    if celery_app.get().conf.task_time_limit:
        yield Warning(
            "task_time_limit is set: it kills the process of a slow microworkflow, and nothing shows where the time went.",
            hint="Use task_soft_time_limit: its exception and traceback are kept with the message, which is then retried.",
            id="microworkflows.W033",
        )


@register(TAG)
def check_versions(**kwargs: Any) -> list[CheckMessage]:
    """W050: a version is installed with which the kit was never tested; W051: two that do not go together."""
    versions = {name: _installed(name) for name in TESTED}
    untested = [
        Warning(
            f"{name} {versions[name]} is installed; microworkflows was tested with {oldest} to {newest}.",
            hint="Install a tested version, or run your own tests and silence this; docs/reference/compatibility.md has the table.",
            id="microworkflows.W050",
        )
        for name, (oldest, newest) in TESTED.items()
        if not get_version_tuple(oldest) <= _feature_release(versions[name]) <= get_version_tuple(newest)
    ]
    if _feature_release(versions["celery"]) < (5, 7) and _feature_release(versions["billiard"]) >= (4, 3):
        untested.append(
            Warning(
                f"Celery {versions['celery']} takes a process that ends in a handler for a failed task if it runs with "
                f"billiard {versions['billiard']}: the message becomes a dead letter at once and is not redelivered.",
                hint="Install billiard<4.3, or Celery 5.7 or newer.",
                id="microworkflows.W051",
            )
        )
    return list(untested)


def _feature_release(version: str) -> tuple[int, ...]:
    return get_version_tuple(version)[:2]


def _installed(name: str) -> str:
    return platform.python_version() if name == "Python" else metadata.version(name)
