"""What holds for every command of the kit. A new one needs a row in :data:`_ALL`, so that none is forgotten.

The row says how it is called, and, where a property does not apply to it, why.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from celery import current_app
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import InterfaceError, OperationalError, ProgrammingError
from kombu import Connection

from microworkflows import celery_app, topology
from microworkflows.errors import ForeignQueueError, PermanentError
from microworkflows.management.base import Answering, Exit, KitCommand
from microworkflows.testing import Flow

CLOSED = "127.0.0.1:9"
"""Address at which nothing listens."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A command."""

    call: tuple[str, ...] = ()
    """Arguments with which it ends soon."""
    json: str | None = None
    """Reason for which it has no ``--format json``; None: it has."""
    needs: str = "database"
    """The servers that it asks; empty: none."""
    unknown: tuple[tuple[str, ...], ...] = ()
    """Arguments with an unknown name, each of which it refuses."""


_ACTS = "it acts, and lists nothing"
_OWN = "it prints a format of its own"
_ALL: dict[str, Row] = {
    "asyncapi": Row(json=_OWN, needs=""),
    "bootstrap": Row(
        call=("orders.order_accepted.v1", "--from", "builtins.list"),
        json=_ACTS,
        needs="",  # nobody of the shop acts on the past, so it asks nobody
        unknown=(("nope.x.v1", "--from", "builtins.list"),),
    ),
    "broker_definitions": Row(json=_OWN, needs=""),
    "check_in_flight": Row(),
    "contracts": Row(call=("--check",), needs="", unknown=(("--check", "--accept", "nope.x.v1"),)),
    "coupling": Row(call=("--of", "orders", "payments"), needs="", unknown=(("--of", "nope", "orders"),)),
    "cutover": Row(unknown=(("nope",),)),
    "dead_letters": Row(needs="broker", unknown=(("nope",),)),
    "deadlines": Row(),
    "dev": Row(json=_ACTS, needs=""),
    "dismiss": Row(
        call=("--all", "--why", "test"),
        json=_ACTS,
        unknown=(("--context", "nope", "--why", "test"), ("--microworkflow", "nope.x", "--why", "test")),
    ),
    "drift": Row(),
    "erase": Row(
        call=("--subject", "orders.order:42", "--why", "test"),
        unknown=(("--subject", "nope", "--why", "test"),),
    ),
    "flowmap": Row(json=_OWN, needs=""),
    "health": Row(call=("worker",), unknown=(("worker", "nope"),)),
    "journal_collect": Row(call=("--fill",), json=_ACTS),
    "journal_watch": Row(call=("--once",), json=_ACTS),
    "journey": Row(call=("A-1",), unknown=(("nope",),)),
    "loosen": Row(call=("--check",), json=_ACTS, needs="", unknown=(("nope",),)),
    "ocel": Row(json=_OWN),
    "parked": Row(unknown=(("nope",), ("--microworkflow", "nope.x"))),
    "pause": Row(
        call=("orders", "--why", "test"),
        json=_ACTS,
        unknown=(
            ("nope", "--why", "test"),
            ("nope.x", "--why", "test"),
            ("--flow", "nope", "--why", "test"),
        ),
    ),
    "paused": Row(),
    "problems": Row(unknown=(("nope",),)),
    "purge_events": Row(unknown=(("--plan", "nope.x.v1"),)),
    "reconcile": Row(
        call=("--context", "payments"),
        json="it reports as it compares, for minutes",
        unknown=(("nope.path",),),
    ),
    "relay": Row(
        call=("--again", "--since", "2999-01-01T00:00Z"),
        json=_ACTS,
        unknown=(("nope",), ("--again", "--since", "2999-01-01T00:00Z", "--type", "nope.x.v1")),
    ),
    "replay": Row(
        call=("--all",), json=_ACTS, unknown=(("--context", "nope"), ("--microworkflow", "nope.x"))
    ),
    "resume": Row(call=("orders",), json=_ACTS, unknown=(("nope",), ("nope.x",), ("--flow", "nope"))),
    "shadow_differences": Row(json="it prints a JSON object a line", unknown=(("--workflow", "nope.x"),)),
    "split_database": Row(
        call=("payments", "--to", f"postgresql://{CLOSED}/x", "--check"),
        json=_ACTS,
        unknown=(("nope", "--to", "postgresql://x/x"),),
    ),
    "startcontext": Row(json=_ACTS, needs=""),
    "top": Row(call=("--once",)),
    "topology": Row(unknown=(("nope",),)),
    "unheard": Row(unknown=(("nope.x.v1",),)),
    "unplug": Row(call=("payments",), json="its proof is a file", needs="", unknown=(("nope",),)),
    "unreceived": Row(unknown=(("nope",),)),
}


COMMANDS = {name: row for name, row in _ALL.items() if name in get_commands()}
"""Those that are installed: the kit is tested without its optional apps, too."""
READ = [
    name
    for name in ("parked", "problems", "unheard", "flowmap", "broker_definitions", "topology", "dead_letters")
    if name in COMMANDS
]


@pytest.fixture
def rows(post: SimpleNamespace, flow: Flow) -> None:
    """Have something to list: a parked message and an unheard event."""
    post.fail = PermanentError("no such letter")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(contexts=[], keep_failures=True)


@pytest.fixture
def queues(post: SimpleNamespace) -> Iterator[None]:
    """Declare the post's queues, which are gone after the test."""
    with current_app.connection_for_write() as connection:
        channel: Any = connection.channel()
        topology.declare(channel)
        yield
        for label in topology.queues():
            channel.queue_delete(topology.name(label))
            channel.queue_delete(topology.dead_letter_name(label))
            channel.exchange_delete(topology.owner_name(label))


def test_each_command_of_the_kit_has_its_row_and_answers_as_all_do() -> None:
    kits = {name: app for name, app in get_commands().items() if app.startswith("microworkflows")}

    assert sorted(kits) == sorted(COMMANDS)
    for name, app in kits.items():
        command = load_command_class(app, name)
        assert isinstance(command, Answering), f"{name} must be a KitCommand"
        options = {
            each
            for action in command.create_parser("manage.py", name)._actions
            for each in action.option_strings
        }
        assert ("--format" in options) == (COMMANDS[name].json is None), name
        assert "--json" not in options, name


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "arguments"), [(name, each) for name, row in COMMANDS.items() for each in row.unknown]
)
def test_unknown_name_is_an_error_of_its_own(name: str, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as raised:
        call_command(name, *arguments)

    assert raised.value.returncode == Exit.MISUSED
    assert any(part in str(raised.value) for part in ("nope", "Name the key"))


@pytest.mark.django_db
@pytest.mark.parametrize("name", [name for name, row in COMMANDS.items() if row.json is None])
def test_each_command_that_lists_or_reports_does_so_as_json(
    name: str, rows: None, queues: None, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    code = 0
    try:
        call_command(name, *COMMANDS[name].call, "--format", "json")
    except CommandError as error:
        code = error.returncode
    except SystemExit as error:
        code = int(error.code or 0)

    if told := capsys.readouterr().out:
        json.loads(told)
    else:
        assert code in (Exit.UNKNOWN, Exit.MISUSED)  # there is nothing to report on


@pytest.mark.django_db
@pytest.mark.parametrize("name", READ)
def test_nobody_who_reads_on_ends_a_command_without_a_traceback(
    name: str, rows: None, queues: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.close(read)
    with TextIOWrapper(os.fdopen(write, "wb")) as closed:
        monkeypatch.setattr("sys.stdout", closed)
        with pytest.raises(SystemExit) as raised:
            call_command(name)

    assert raised.value.code == Exit.UNREAD


_RUN_ALL = """
import contextlib, io, json, sys, traceback
import django
from django.core.management import get_commands, load_command_class
django.setup()
told = {}
for name, arguments in json.loads(sys.argv[1]).items():
    error, output = io.StringIO(), io.StringIO()
    command = load_command_class(get_commands()[name], name)
    command.stderr._out, command.stdout._out = error, output
    if told:
        command.requires_system_checks = []  # the first has run them
    try:
        with contextlib.redirect_stderr(error):
            command.run_from_argv(["manage.py", name, *arguments])
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        code, _ = "traceback", error.write(traceback.format_exc())
    told[name] = code, error.getvalue() or output.getvalue()
print(json.dumps(told))
"""


def test_server_that_is_away_is_one_line_and_exit_code_3() -> None:
    calls = {name: row.call for name, row in COMMANDS.items() if row.needs}
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": f"postgresql://postgres@{CLOSED}/shop",
        "BROKER_URL": f"amqp://guest:guest@{CLOSED}//",
    }

    done = subprocess.run(
        [sys.executable, "-c", _RUN_ALL, json.dumps(calls)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    wrong = {
        name: (code, said)
        for name, (code, said) in told.items()
        if code != Exit.UNKNOWN or said.count("\n") != 1 or COMMANDS[name].needs not in said
    }
    assert not wrong, wrong


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["dead_letters", "topology"])
def test_broker_that_is_away_is_one_line_and_exit_code_3(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = SimpleNamespace(connection_for_write=lambda: Connection(f"amqp://guest:guest@{CLOSED}//"))
    monkeypatch.setattr(celery_app, "get", lambda: app)

    with pytest.raises(CommandError, match="broker") as raised:
        call_command(name)

    assert raised.value.returncode == Exit.UNKNOWN
    assert "\n" not in str(raised.value)


class Failing(KitCommand):
    """A command that fails as it is told."""

    def handle(self, *args: Any, **options: Any) -> None:
        raise options["error"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), Exit.INTERRUPTED, "Interrupted."),
        (ForeignQueueError("not ours"), Exit.FOUND, "not ours"),
        (OperationalError("no such table: published"), Exit.UNKNOWN, "lacks a table; run manage.py migrate"),
        (InterfaceError("closed"), Exit.UNKNOWN, "The database does not answer: InterfaceError: closed"),
        (
            ConnectionResetError("gone"),
            Exit.UNKNOWN,
            "The broker does not answer: ConnectionResetError: gone",
        ),
        (BrokenPipeError("gone"), Exit.UNKNOWN, "The broker does not answer: BrokenPipeError: gone"),
    ],
)
def test_what_ends_a_command_is_one_line(error: BaseException, code: Exit, said: str) -> None:
    with open(os.devnull, "w") as output, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", output)
        with pytest.raises(CommandError) as raised:
            Failing().execute(error=error, skip_checks=True, force_color=False, no_color=False)

    assert (raised.value.returncode, said in str(raised.value)) == (code, True)


def test_fault_of_the_kit_keeps_its_traceback() -> None:
    with pytest.raises(ProgrammingError):
        Failing().execute(
            error=ProgrammingError("no such column"), skip_checks=True, force_color=False, no_color=False
        )
