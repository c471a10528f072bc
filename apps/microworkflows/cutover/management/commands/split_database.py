"""``manage.py split_database``: moves a context to a database of its own, and back, while the others go on working."""

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, OperationalError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import celery_app, poolers, registry, texts
from microworkflows.errors import MicroworkflowsError
from microworkflows.management import naming
from microworkflows.management.base import Exit, KitCommand
from microworkflows.models import OutboxEvent


class Command(KitCommand):
    help = (
        "Move a context's tables, with its part of inbox and outbox, from this database to one of its own. "
        "The context works on while its rows are copied, and pauses at the end, for many rows no longer than for few; "
        "the others go on. Run it again to go on with a move that stopped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("context", help="label of the context")
        parser.add_argument(
            "--to",
            required=True,
            metavar="URL",
            help="postgresql://user:password@host:port/name of an empty database",
        )
        parser.add_argument(
            "--patience",
            type=float,
            default=120.0,
            help="seconds for which to try to have a table for oneself that others use (120)",
        )
        parser.add_argument(
            "--unproven",
            default="",
            metavar="WHY",
            help="move without a proof by manage.py unplug, for this reason, which is kept with the move",
        )
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument(
            "--check",
            action="store_true",
            help="say what would be fenced off, and what stands in the way; change nothing",
        )
        instead.add_argument(
            "--fence",
            action="store_true",
            help="after a move by version 0.1: fence off the tables of others in the new database",
        )
        instead.add_argument("--abort", action="store_true", help="give up a move that has not switched yet")
        instead.add_argument(
            "--drop-source", action="store_true", help="after a move: empty the old tables here"
        )

    def handle(
        self,
        *args: Any,
        context: str,
        to: str,
        patience: float,
        unproven: str,
        abort: bool,
        drop_source: bool,
        **options: Any,
    ) -> None:
        naming.check_contexts([context], registry.contexts())
        source = connections[router.db_for_write(OutboxEvent)]
        if source.vendor != "postgresql":
            raise CommandError(
                f"split_database moves contexts between PostgreSQL databases; this is {source.vendor}."
            )
        poolers.go_direct(source)
        # Imported here: they need psycopg, which other databases do not.
        import psycopg

        from microworkflows.cutover.splitting import databases
        from microworkflows.cutover.splitting.move import Move
        from microworkflows.cutover.splitting.progress import Progress
        from microworkflows.cutover.splitting.steps import AGAIN

        try:
            with databases.target_at(to, source=source) as target:
                move = Move(
                    context=context,
                    source=source,
                    target=target,
                    say=self._say,
                    progress=Progress(sys.stderr),
                    patience=patience,
                    unproven=unproven.strip(),
                )
                if options["check"]:
                    move.check()
                elif options["fence"]:
                    move.fence_others()
                elif abort:
                    move.abort()
                elif drop_source:
                    move.drop_source()
                else:
                    move.run()
                    self._say_what_to_do(context, target)
        except MicroworkflowsError as error:
            raise CommandError(str(error)) from error
        except (DatabaseError, psycopg.Error) as error:
            hint = "" if abort or drop_source or options["check"] or options["fence"] else f"\n{AGAIN}"
            is_away = isinstance(error, OperationalError | psycopg.OperationalError)
            raise CommandError(
                f"Stopped by the database: {texts.line(error)}{hint}",
                returncode=Exit.UNKNOWN if is_away else Exit.FOUND,
            ) from error
        except KeyboardInterrupt:
            raise CommandError(f"Interrupted. {AGAIN}", returncode=130) from None

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _say_what_to_do(self, context: str, target: BaseDatabaseWrapper) -> None:
        from microworkflows.cutover.splitting import databases

        address = databases.address(target, hidden_password=True)
        worker = f"celery -A {celery_app.get().main} worker -Q {context} -n {context}@%h"
        back = f"split_database {context} --to this database"
        if databases.is_by_url():
            start, back = f"DATABASE_URL={address} {worker}", f"DATABASE_URL={address} {back}"
        else:
            names = ("ENGINE", "HOST", "PORT", "NAME", "USER")
            given = ", ".join(
                f"'{name}': {target.settings_dict[name]!r}" for name in names if target.settings_dict[name]
            )
            start = f"{worker}\n   with settings in which {databases.setting()} is {{{given}, …}}"
            back = f"with the settings of its worker, {back}"
        self._say(
            f"""
{context} works in {address} from now on. Nothing is lost: its events wait until you
1. stop its worker, which still runs on the old database (SIGTERM; it gives back what it holds), and
2. start it on the new one, where MICROWORKFLOWS['CUTOVER'] is empty, since the monolith and its modes are not there:
   {start}
Later, `manage.py split_database {context} --to … --drop-source` empties the old tables, which are still here.
To go back: {back}"""
        )
