"""Verifies a stage: makes its working copy, prepares its database, starts its processes, and runs the acceptance suite."""

import os
import shutil
import sys
import time
import urllib.error
from collections.abc import Callable, Mapping
from functools import partial
from http.cookiejar import CookieJar
from pathlib import Path

from migrations_guide.engine import acceptance, databases, stages, working_copy
from migrations_guide.engine.processes import Processes, manage
from migrations_guide.engine.shop import PASSWORD, USER, Order, Shop, ShopError
from migrations_guide.engine.stages import Stage
from project.processes.process import ProcessError
from project.processes.waiting import NotYetError, eventually

SUPERUSER = f"""
from django.contrib.auth.models import User
if not User.objects.filter(username="{USER}").exists():
    User.objects.create_superuser("{USER}", password="{PASSWORD}")
"""


_STRANGE = f"""
import sys
from django.contrib.auth.models import User
from django.db import connection
if "auth_user" in connection.introspection.table_names():
    if User.objects.exists() and not User.objects.filter(username="{USER}").exists():
        sys.exit("This database has users of its own, so the guide leaves it alone. Name an empty one in DATABASE_URL.")
"""
_LATER = """
import sys
from django.apps import apps
from django.db import connection
moves = "microworkflows_cutover_contextmove"
if apps.is_installed("microworkflows.cutover") and moves in connection.introspection.table_names():
    from microworkflows.cutover.models import ContextMove
    from microworkflows.cutover.splitting.steps import AWAY
    if ContextMove.objects.filter(step__in=AWAY).exists():
        sys.exit("This database is at stage 7 or later: contexts have moved out of it. Name an empty one in DATABASE_URL.")
"""
_UNSEEN, _SEEN_SECONDS = "so nobody would do its steps", 30.0
"""What ``manage.py cutover`` says of a context whose worker has only just been started, and how long that may be."""


class VerificationError(Exception):
    """The stage does not run at all."""


def verify(
    stage: Stage, *, environment: Mapping[str, str], serve: bool = False, into: Path | None = None
) -> int:
    """Verify a stage, telling a person what happens; return the exit code.

    Args:
        stage: The stage.
        environment: ``DATABASE_URL`` and ``BROKER_URL`` in it are used as they are; without them the stage gets a new
            SQLite database, and a broker made of files, in its working copy's ``var/``.
        serve: Leave it running until Ctrl-C.
        into: The working copy's folder, if it is not to be in ``var/guide``.

    Raises:
        VerificationError: a command failed, or a process did not start.
    """
    print(f"{stage}\n{stage.says}\n")
    try:
        folder = working_copy.compose(stage.number, into=into)
        _tell(
            "composed",
            f"{_short(folder)}: {len(stages.files(stage.number))} files, {_own(stage)} of them its own",
        )
        surroundings = stage_environment(folder, environment, stage=stage)
        prepare(stage, folder, environment=surroundings)
        with Processes(folder, environment=surroundings) as processes:
            _tell("started", ", ".join(process.name for process in processes.all))
            shop = shop_of(stage, processes)
            under_way = switch(stage, shop, lambda command: manage(folder, command, environment=surroundings))
            failed = _run_suite(shop)
            for order in under_way:
                acceptance.ends(shop, order, acceptance.SHIPPED)
            for command in stage.silent:
                if said := manage(folder, command, environment=surroundings):
                    raise VerificationError(f"manage.py {command} must print nothing; it printed:\n{said}")
                _tell("silent", f"manage.py {command}")
            if serve:
                _serve(stage, processes)
    except (ProcessError, ShopError, NotYetError) as error:
        raise VerificationError(str(error)) from error
    passed = len(acceptance.SCENARIOS) - failed
    print(f"\nStage {stage.number}: {passed} of {len(acceptance.SCENARIOS)} hold. Every process has ended.")
    return 1 if failed else 0


def stage_environment(
    folder: Path, environment: Mapping[str, str], *, stage: Stage | None = None
) -> dict[str, str]:
    """Return what a stage's processes run with: its own folder first on Python's path, its state in its ``var/``."""
    kept = {
        name: value
        for name, value in environment.items()
        if name not in {"ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "HTTPS", "SERVICE"}
    }
    bin_folder = str(Path(sys.executable).parent)
    own = databases.urls(stage, environment, var=folder / "var") if stage else {}
    return {
        "DEBUG": "1",
        "WORKER_CONCURRENCY": "1",
        **kept,
        **{databases.variable(app): url for app, url in own.items()},
        **({"SERVICE": "orders"} if stage and stage.services else {}),
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "LOG_LEVEL": "INFO",
        "PATH": f"{bin_folder}{os.pathsep}{environment.get('PATH', os.defpath)}",
        "PYTHONPATH": str(folder),
        "PYTHONUNBUFFERED": "1",
        "VAR_DIR": str(folder / "var"),
    }


def own_environment(stage: Stage, app: str, *, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what commands for one context's own database run with."""
    own = {"DATABASE_URL": environment[databases.variable(app)], "OWN_DATABASE": "1"}
    return {**environment, **own, **({"SERVICE": app} if stage.services else {})}


def prepare(stage: Stage, folder: Path, *, environment: Mapping[str, str], anew: bool = True) -> None:
    """Bring the databases to this stage, fill catalogue and shelves, and run the stage's own tests.

    Args:
        anew: Whether the embedded default begins with new data.

    Raises:
        ProcessError: a command failed, or a database is somebody's own.
    """
    on_a_server = bool(environment.get("DATABASE_URL"))
    if anew and not on_a_server:
        shutil.rmtree(folder / "var", ignore_errors=True)
    refuse, refuse_later, superuser = (
        f"shell --verbosity 0 --command '{code}'" for code in (_STRANGE, _LATER, SUPERUSER)
    )
    refusals = [refuse, *([] if stage.databases else [refuse_later])] if on_a_server else []
    manage(folder, *refusals, *stage.prepare, superuser, environment=environment)
    for app, commands in stage.databases.items():
        url = environment[databases.variable(app)]
        databases.make(url)
        own = own_environment(stage, app, environment=environment)
        if on_a_server:
            manage(folder, refuse, environment=own)
        if stage.split and on_a_server:
            manage(folder, f"split_database {app} --to {url}", environment=environment)
        elif stage.split:  # SQLite's files are not moved: they begin anew
            manage(folder, "migrate", environment=own)
        manage(folder, *commands, superuser, environment=own)
    _tell("prepared", environment.get("DATABASE_URL", "").partition(":")[0] or "SQLite, in its var/")
    if (folder / "orders" / "tests.py").exists():
        ran = manage(folder, "test", environment=environment)
        _tell("tested", next(line for line in ran.splitlines() if line.startswith("Ran ")))


def switch(stage: Stage, shop: Shop, run: Callable[[str], str]) -> list[Order]:
    """Switch step by step, each while an order is under way; return these orders: they end, too.

    Raises:
        ProcessError: a command failed.
    """
    under_way = []
    for command in stage.switch:
        under_way.append(shop.place(pays="tok_visa", lines={"TEA-ASSAM-250": 1}))
        patiently(partial(run, command))
        _tell("switched", f"manage.py {command}")
    return under_way


def patiently(command: Callable[[], str]) -> None:
    """Run a command; once more where a worker has just started and was not seen yet.

    Raises:
        ProcessError: it failed for another reason.
        NotYetError: the worker was not seen in time.
    """

    def seen() -> bool:
        try:
            command()
        except ProcessError as error:
            if _UNSEEN not in str(error):
                raise
            return False
        return True

    eventually(seen, what="a worker that is seen", timeout=_SEEN_SECONDS, every=0.2)


def shop_of(stage: Stage, processes: Processes, *, cookies: Mapping[str, CookieJar] | None = None) -> Shop:
    """Return the shop that these processes are, for somebody with these cookies."""
    return Shop({app: processes.site(process) for app, process in stage.pages.items()}, cookies=cookies)


def _run_suite(shop: Shop) -> int:
    failed = 0
    print()
    for scenario in acceptance.SCENARIOS:
        began = time.monotonic()
        try:
            scenario(shop)
        except (ShopError, NotYetError, urllib.error.URLError) as error:
            failed += 1
            sign, why = "✗", f"\n      {error}"
        else:
            sign, why = "✓", ""
        name = scenario.__name__.replace("_", " ")
        print(f"  {sign} {name} ({time.monotonic() - began:.1f} s){why}", flush=True)
    return failed


def _serve(stage: Stage, processes: Processes) -> None:
    print()
    try:
        for name in dict.fromkeys(stage.pages.values()):
            print(f"  {processes.site(name)}/admin/   user {USER}, password {PASSWORD}", flush=True)
        print("  Ctrl-C ends everything.", flush=True)
        while True:
            processes.watch()
            time.sleep(0.5)
    except KeyboardInterrupt:
        print()


def _own(stage: Stage) -> int:
    return len(stages.own_files(stage.folder))


def _tell(step: str, what: str) -> None:
    print(f"  {step:<9} {what}", flush=True)


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
