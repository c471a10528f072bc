"""The demo: every order comes to its end whatever dies on the way, and nothing keeps running afterwards."""

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from project.processes.tree import descendants
from tests import servers
from tests.acceptance.running import PROJECT, Demo, demo_environment, free_port, processes_of, wait_until

pytestmark = pytest.mark.acceptance

ALL_AS_EXPECTED = "12 orders, each ended as it must: 7 shipped, 3 out of stock, 2 payment declined"


@pytest.mark.slow
def test_demo_runs_twice_in_one_place_and_ctrl_c_ends_every_process() -> None:
    folder = servers.SCRATCH / "twice"
    with Demo(folder, "--exit") as first:
        code = first.wait(timeout=100)
        assert (code, processes_of(folder)) == (0, set()), first.output
        assert ALL_AS_EXPECTED in first.output

    with Demo(folder) as second:
        second.wait_for("Orders from before are kept: 12")
        second.wait_for("Ctrl-C ends everything", seconds=120)
        assert ALL_AS_EXPECTED in second.output
        assert_another_one_is_refused(second)

        second.interrupt()

        assert second.wait(timeout=30) == 0, second.output
        assert processes_of(folder) == set()
    assert_books_agree(second, runs=2)
    made = [path for path in folder.rglob("*") if path.name != "terminal.log"]
    assert [path for path in made if path.stat().st_mode & 0o077] == [], "private to its user"


def assert_another_one_is_refused(running: Demo) -> None:
    message = refusal(running.folder)
    assert f"Another demo (process {running.pid_of('demo')}) runs on the state in {running.folder}" in message

    message = refusal(servers.SCRATCH / "elsewhere", f"--port={running.port}")
    assert f"cannot use port {running.port}" in message
    assert f"make demo PORT={running.port + 1}" in message


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_killing_a_worker_on_rabbitmq_changes_no_outcome(server_urls: dict[str, str]) -> None:
    folder = servers.SCRATCH / "killed"
    with Demo(folder, "--exit", environment=server_urls) as demo:
        # The slow bank's order waits for a retry at this moment; others are anywhere on their way.
        demo.wait_for("payments.take_payment failed", seconds=90)
        worker = demo.pid_of("payments")
        children = descendants(worker)
        os.kill(worker, signal.SIGKILL)

        demo.wait_for(rf"payments \(process {worker}\) was killed by SIGKILL; it is started again")
        assert len(children) >= 2, "a pool process and a relay"
        wait_until(
            "the killed worker's children have ended", lambda: not children & processes_of(folder), seconds=10
        )
        code = demo.wait(timeout=100)

        assert (code, processes_of(folder)) == (0, set()), demo.output
        assert ALL_AS_EXPECTED in demo.output
        assert_books_agree(demo, runs=1)


def assert_books_agree(demo: Demo, *, runs: int) -> None:
    books = json.loads(
        demo.ask("import json; from tests.acceptance import books; print(json.dumps(books.read()))")
    )
    assert books["orders"] == 12 * runs
    assert books["shipped"] == books["shipments"] == books["reservations issued"] == 7 * runs
    assert (books["declined"], books["out of stock"]) == (2 * runs, 3 * runs)
    assert books["payments kept"] == books["value shipped"]
    assert books["payments refunded"] == books["value out of stock"]
    assert books["pieces issued"] == books["pieces ordered and shipped"]
    assert books["pieces reserved"] == "0"
    assert books["stock"]["TEAPOT-IRON-800"] == books["stock"]["CUP-RAKU-LTD"] == 0
    for nothing in ("payments undecided", "pending", "unheard", "waiting", "parked"):
        assert books[nothing] == 0, nothing


@pytest.mark.slow
def test_ctrl_c_while_processes_start_ends_them() -> None:
    folder = servers.SCRATCH / "impatient"
    with Demo(folder) as demo:
        demo.wait_for("Starting the web server")
        wait_until("a worker is there", lambda: len(processes_of(folder)) > 3, seconds=20)

        demo.interrupt()

        assert demo.wait(timeout=30) == 0, demo.output
        assert processes_of(folder) == set()


def test_what_a_killed_demo_left_is_named() -> None:
    folder = servers.SCRATCH / "orphaned"
    folder.mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with (folder / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"demo {dead.pid}\nweb 4194999\norders 4194998\n")
        lock.flush()

        message = refusal(folder)

    assert f"An earlier demo (process {dead.pid}) was killed" in message
    assert "kill -9 -- -4194999 -4194998" in message


@pytest.mark.parametrize(
    ("variable", "url", "said"),
    [
        (
            "DATABASE_URL",
            "postgresql://nobody:secret@127.0.0.1:{port}/shop",
            "The database 'shop' at 127.0.0.1:{port}",
        ),
        (
            "BROKER_URL",
            "amqp://nobody:secret@127.0.0.1:{port}//",
            "The broker at amqp://nobody:**@127.0.0.1:{port}",
        ),
    ],
)
def test_unreachable_server_is_named_before_anything_starts(variable: str, url: str, said: str) -> None:
    folder, port = servers.SCRATCH / f"without_{variable.lower()}", free_port()

    message = refusal(folder, **{variable: url.format(port=port)})

    assert said.format(port=port) in message
    assert "cannot be used" in message
    assert f"correct {variable}" in message
    assert "secret" not in message
    assert not (folder / "log").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            """
            CREATE TABLE django_migrations (id integer, app text, name text, applied text);
            INSERT INTO django_migrations VALUES (1, 'orders', '0099_from_the_future', '2026-01-01');
            """,
            "it has migrations that are unknown here (orders.0099_from_the_future)",
        ),
        ("CREATE TABLE ledger (id integer);", "holds tables, but none that Django made (ledger"),
        ("", "file is not a database"),
    ],
    ids=["newer", "foreign", "broken"],
)
def test_database_that_is_no_demos_is_left_alone(sql: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "db.sqlite3"
    if sql:
        with sqlite3.connect(file) as database:
            database.executescript(sql)
        database.close()
    else:
        file.write_text("These bytes are no database, and there are more than a hundred of them. " * 2)
    before = file.read_bytes()

    message = refusal(servers.SCRATCH / "left_alone", DATABASE_URL=f"sqlite:///{file}")

    assert said in message
    assert (
        file.read_bytes()[100:] == before[100:]
    )  # SQLite's header counts its readers' change of journal mode


@pytest.mark.slow
def test_shop_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    folder = servers.SCRATCH / "somebodys"
    manage(folder, database, "migrate")
    manage(folder, database, "createsuperuser", "--noinput", "--username=owner", "--email=")

    assert "has users or orders, but no user 'admin'" in refusal(folder, DATABASE_URL=database)


@pytest.mark.slow
def test_database_whose_tables_differ_is_refused(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    folder = servers.SCRATCH / "edited"
    manage(folder, database, "migrate")
    with sqlite3.connect(tmp_path / "db.sqlite3") as connection:
        connection.execute("ALTER TABLE orders_order RENAME COLUMN city TO town")
    connection.close()

    with Demo(folder, "--exit", environment={"DATABASE_URL": database}) as demo:
        assert demo.wait(timeout=30) == 2

    assert "its table orders_order differs in city, town" in demo.output
    assert "Starting the web server" not in demo.output


def manage(folder: Path, database: str, *command: str) -> None:
    environment = demo_environment(folder, {"DATABASE_URL": database, "DJANGO_SUPERUSER_PASSWORD": "kept"})
    subprocess.run([sys.executable, "manage.py", *command], cwd=PROJECT, env=environment, check=True)


@pytest.mark.slow
def test_demo_is_refused_in_production() -> None:
    assert "DEBUG is off" in refusal(
        servers.SCRATCH / "production", DEBUG="0", SECRET_KEY="for-this-test-only"
    )


@pytest.mark.slow
def test_port_that_is_no_port_is_refused() -> None:
    assert "70000 is no port" in refusal(servers.SCRATCH / "no_port", "--port=70000")


def test_demo_without_its_screen_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("rich", "project.demo."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)

    with pytest.raises(CommandError, match=r"(?s)rich, which is not installed.*requirements/demo\.lock"):
        call_command("demo")


def refusal(folder: Path, *options: str, **environment: str) -> str:
    """Run a demo that must refuse to start; return its message, one paragraph on standard error."""
    command = [sys.executable, "manage.py", "demo", "--exit", *(options or [f"--port={free_port()}"])]
    before = processes_of(folder)
    ended = subprocess.run(
        command,
        cwd=PROJECT,
        env=demo_environment(folder, environment),
        capture_output=True,
        check=False,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    assert processes_of(folder) == before, "nothing was started"
    return ended.stderr
