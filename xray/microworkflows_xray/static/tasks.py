"""Find what queues run and who puts it there, by the decorators and calls of the usual libraries, none of which is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from microworkflows_xray.facts import Task
from microworkflows_xray.static.sources import Module, Sources
from microworkflows_xray.static.spelling import dotted, keyword, last, nodes

_DECORATORS = {
    "celery": {"shared_task", "task", "periodic_task"},
    "rq": {"job"},
    "django_rq": {"job"},
    "django_tasks": {"task"},
    "django.tasks": {"task"},
    "dramatiq": {"actor"},
    "django_dramatiq": {"actor"},
    "huey": {"task", "periodic_task", "db_task", "db_periodic_task", "on_startup"},
    "background_task": {"background"},
    "procrastinate": {"task", "periodic"},
    "apscheduler": {"scheduled_job"},
}
"""Names of decorators that make a function a task, by the package that they come from."""
_LIBRARIES = {
    "django_rq": "rq",
    "rq_scheduler": "rq",
    "django_tasks": "django-tasks",
    "django.tasks": "django-tasks",
} | {
    "django_dramatiq": "dramatiq",
    "background_task": "django-background-tasks",
    "django_q": "django-q",
    "django_apscheduler": "apscheduler",
}
"""Names of the libraries whose packages are called otherwise."""
_METHODS = {
    "delay": "celery",
    "apply_async": "celery",
    "delay_on_commit": "celery",
    "enqueue": "django-tasks",
    "aenqueue": "django-tasks",
    "send_with_options": "dramatiq",
    "defer": "procrastinate",
    "defer_async": "procrastinate",
    "schedule": "huey",
    "s": "",
    "si": "",
    "signature": "",
    "send": "",
    "message": "",
}
"""Methods of a task that put it on its queue, or make a message for it, with the library that has them; those with none count on known tasks only."""
_TAKERS = {
    "enqueue": "rq",
    "enqueue_at": "rq",
    "enqueue_in": "rq",
    "enqueue_call": "rq",
    "cron": "rq",
    "add_job": "apscheduler",
    "async_task": "django-q",
    "send_task": "celery",
}
"""Functions that take a task, or its name, as their first argument."""


@dataclass
class _Known:
    """Objects on which decorators hang, and tasks, by dotted name."""

    holders: dict[str, str] = field(default_factory=dict)
    """Library of each object such as ``shop.celery.app``."""
    tasks: dict[str, Task] = field(default_factory=dict)
    packages: set[str] = field(default_factory=set)
    """Top-level packages that the project imports."""


def find(sources: Sources) -> list[Task]:
    """Give the tasks that the code defines, and each place that enqueues one."""
    known = _Known()
    for module in sources.modules.values():
        _learn(module, known)
    for module in sources.modules.values():
        for node in nodes(module):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                _task(module, sources, node, known)
            elif isinstance(node, ast.ClassDef) and any(
                dotted(module, base) in _CLASSES for base in node.bases
            ):
                place = sources.place(module, node)
                known.tasks[place.function] = Task(_name(node, place.function), "celery", "task", place)
    enqueued = [task for module in sources.modules.values() for task in _enqueued(module, sources, known)]
    return [*known.tasks.values(), *enqueued]


_CLASSES = {"celery.Task", "celery.app.task.Task", "celery.task.Task"}


def _learn(module: Module, known: _Known) -> None:
    for node in nodes(module):
        if isinstance(node, ast.Import):
            known.packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            known.packages.add(node.module.partition(".")[0])
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            library = _library(dotted(module, node.value.func))
            for target in node.targets:
                if library and isinstance(target, ast.Name):
                    known.holders[f"{module.name}.{target.id}"] = library


def _library(name: str) -> str:
    """Tell the task library that a dotted name comes from; empty if from none."""
    packages = [
        package
        for package in (*_DECORATORS, *_LIBRARIES)
        if name == package or name.startswith(f"{package}.")
    ]
    package = max(packages, key=len, default="")
    return _LIBRARIES.get(package, package)


def _task(
    module: Module, sources: Sources, node: ast.FunctionDef | ast.AsyncFunctionDef, known: _Known
) -> None:
    for decorator in node.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        name = dotted(module, call.func if call else decorator)
        library = _decorates(name, known)
        if library:
            place = sources.place(module, node)
            explicit = keyword(call, "name", "task_name", "actor_name") if call else None
            text = (
                explicit.value
                if isinstance(explicit, ast.Constant) and isinstance(explicit.value, str)
                else place.function
            )
            known.tasks[place.function] = Task(text, library, "task", place)


def _decorates(name: str, known: _Known) -> str:
    """Tell the library whose decorator this is; empty if it makes no task."""
    holder, _, what = name.rpartition(".")
    for package, decorators in _DECORATORS.items():
        if what in decorators and (holder == package or holder.startswith(f"{package}.")):
            return _LIBRARIES.get(package, package)
    if holder in known.holders and any(what in decorators for decorators in _DECORATORS.values()):
        return known.holders[holder]
    if (
        what == "task"
        and "celery" in known.packages
        and holder.rpartition(".")[2] in {"app", "celery", "celery_app"}
    ):
        return "celery"
    return "apscheduler" if what == "scheduled_job" else ""


def _name(node: ast.ClassDef, default: str) -> str:
    for statement in node.body:
        if (
            isinstance(statement, ast.Assign)
            and last(statement.targets[0]) == "name"
            and isinstance(statement.value, ast.Constant)
        ):
            return str(statement.value.value)
    return default


def _enqueued(module: Module, sources: Sources, known: _Known) -> Iterator[Task]:
    for node in nodes(module):
        if not isinstance(node, ast.Call):
            continue
        found = (
            _by_method(module, node, known) or _by_taker(module, node, known) or _by_call(module, node, known)
        )
        if found:
            yield Task(found[0], found[1], "enqueued", sources.place(module, node))


def _by_method(module: Module, node: ast.Call, known: _Known) -> tuple[str, str] | None:
    """Read ``task.delay(…)`` and the like."""
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in _METHODS:
        return None
    owner = node.func.value
    while isinstance(owner, ast.Call) and isinstance(owner.func, ast.Attribute):
        owner = (
            owner.func.value
        )  # task.s(…).apply_async(), task.using(…).enqueue(), task.configure(…).defer()
    name = dotted(module, owner)
    task = known.tasks.get(name)
    if task is not None:
        return task.name, task.library
    library = _METHODS[node.func.attr]
    certain = (
        node.func.attr in {"delay", "apply_async", "delay_on_commit"}
        and bool(name)
        and "celery" in known.packages
    )
    return (name, library) if certain else None


def _by_taker(module: Module, node: ast.Call, known: _Known) -> tuple[str, str] | None:
    """Read ``queue.enqueue(task, …)`` and the like."""
    what = last(node.func)
    library = _TAKERS.get(what, "")
    taken = keyword(node, "func", "f", "task") or (node.args[0] if node.args else None)
    if what in {"enqueue_at", "enqueue_in", "cron"} and len(node.args) > 1:
        taken = keyword(node, "func", "f") or node.args[1]
    if not library or taken is None:
        return None
    name = (
        taken.value
        if isinstance(taken, ast.Constant) and isinstance(taken.value, str)
        else dotted(module, taken)
    )
    if not name or ("." not in name and name not in known.tasks):
        return None
    task = known.tasks.get(name)
    return (task.name, task.library) if task else (name, library)


def _by_call(module: Module, node: ast.Call, known: _Known) -> tuple[str, str] | None:
    """Read a plain call: with huey and with django-background-tasks it enqueues."""
    task = known.tasks.get(dotted(module, node.func))
    return (task.name, task.library) if task and task.library in {"huey", "django-background-tasks"} else None
