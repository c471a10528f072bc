"""Freezes the present version: ``python -m tests.upgrade.freeze v0_1``, once for each version, before it is released.

Makes a folder with the shop's code and the shop as that code left it, on PostgreSQL and RabbitMQ and on files. From
then on the tests beside this file hold every newer version to it: what old code left behind is finished by new code,
each order once. So a folder is never made anew; if a stage is missing, the next version's has it.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests import servers
from tests.upgrade import brokers, databases

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {"shop": "project.settings", "monolith": "tests.upgrade.settings"}


def main(version: str) -> None:
    """Freeze everything into a new folder."""
    folder = Path(__file__).with_name(version)
    folder.mkdir()
    _pack(folder / "shop.tar.xz")
    try:
        expected = {state: _freeze_on_servers(folder, state) for state in SETTINGS}
        assert _freeze_on_files(folder, "shop") == expected["shop"]
        _write(folder / "expected.json", expected)
    finally:
        servers.remove_scratch()


def _pack(archive: Path) -> None:
    """Pack the code of kit and shop; the same code gives the same bytes."""
    names = subprocess.check_output(["git", "ls-files", "apps", "project", "manage.py"], cwd=ROOT, text=True)
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for name in names.splitlines():
            content = (ROOT / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))


def _freeze_on_servers(folder: Path, state: str) -> dict[str, Any]:
    with ExitStack() as at_the_end:
        database = at_the_end.enter_context(databases.postgresql())
        vhost = servers.rabbitmq().make_vhost()
        at_the_end.callback(servers.rabbitmq().delete_vhost, vhost)
        left = _leave(state, database=database, broker=vhost)
        _write(folder / f"{state}.rabbitmq.json", left["broker"])
        (folder / f"{state}.postgresql.sql").write_text(_neutral(databases.dump(database)))
    return dict(left["expected"])


def _freeze_on_files(folder: Path, state: str) -> dict[str, Any]:
    with TemporaryDirectory() as scratch:
        database = f"sqlite:///{scratch}/db.sqlite3"
        left = _leave(state, database=database, broker=f"embedded://{scratch}/broker")
        _write(folder / f"{state}.embedded.json", left["broker"])
        (folder / f"{state}.sqlite.sql").write_text(_neutral(databases.dump(database)))
    return dict(left["expected"])


def _leave(state: str, *, database: str, broker: str) -> dict[str, Any]:
    """Leave orders at every stage, in a process on this database and broker; return the broker and what is expected."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": SETTINGS[state],
        "DATABASE_URL": database,
        "BROKER_URL": broker,
        "SECRET_KEY": "for-tests-only",
        "LOG_LEVEL": "CRITICAL",
    }
    command = [sys.executable, "-m", "tests.upgrade.freeze", "--leave", state, broker]
    left: dict[str, Any] = json.loads(subprocess.check_output(command, cwd=ROOT, env=environment))
    return left


def _leave_here(state: str, url: str) -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from tests.upgrade import stages

    call_command("migrate", verbosity=0)
    broker = brokers.of(url)
    expected = {"shop": stages.shop, "monolith": stages.monolith}[state](broker)
    json.dump({"expected": expected, "broker": broker.frozen()}, sys.stdout, default=str)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(_neutral(json.dumps(content, indent=1, ensure_ascii=False)) + "\n")


def _neutral(text: str) -> str:
    """Let tracebacks name no path of this machine."""
    return text.replace(str(ROOT), "/srv/shop")


if __name__ == "__main__":
    if sys.argv[1] == "--leave":
        _leave_here(*sys.argv[2:])
    else:
        main(sys.argv[1])
