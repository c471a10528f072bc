"""``manage.py purge_events``: deletes old rows that are done; those of unfinished flows stay. ``--plan`` tells what is kept how long."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows import conf, retentions, texts, times
from microworkflows.journeys import human_duration
from microworkflows.management import naming
from microworkflows.management.base import Exit, KitCommand, add_format
from microworkflows.models import purge as notes
from microworkflows.purging import Purged, purge

_DAY = timedelta(days=1)


class Command(KitCommand):
    help = (
        "Delete relayed events and handled messages beyond their retention, in small transactions. All rows of a flow stay in "
        "which an event is pending, scheduled, unheard, rejected or not received, or a message waits or is parked. --plan tells "
        "how long what is done is kept, and deletes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "types", nargs="*", metavar="TYPE", help="with --plan: types of events; by default all"
        )
        parser.add_argument(
            "--plan",
            action="store_true",
            help="only tell how long each type is kept in outbox and inbox, by which declaration or setting, and whether relays purge",
        )
        parser.add_argument(
            "--days",
            type=float,
            help="age in days of every row; by default each type's retention, else MICROWORKFLOWS['RETENTION_DAYS']",
        )
        parser.add_argument(
            "--although-unreceived",
            action="store_true",
            help="do not spare a flow because a listener has not received an event, as when the broker lost it",
        )
        add_format(parser)

    def handle(
        self,
        *args: Any,
        types: list[str],
        plan: bool,
        days: float | None,
        although_unreceived: bool,
        **options: Any,
    ) -> None:
        age = None if days is None else timedelta(days=days)
        as_json = options["format"] == "json"
        if plan:
            if although_unreceived:
                raise CommandError(
                    "--plan deletes nothing: give it without --although-unreceived.", returncode=Exit.MISUSED
                )
            naming.check_types(types)
            self._plan(types, age, as_json=as_json)
            return
        if types:
            raise CommandError(
                "Types belong to --plan: a purge is of all types. Nothing was deleted.",
                returncode=Exit.MISUSED,
            )
        purged = purge(now=datetime.now(UTC), age=age, although_unreceived=although_unreceived)
        if as_json:
            self.say_json(purged._asdict())
        else:
            self._tell(purged)

    def _tell(self, purged: Purged) -> None:
        self.stdout.write(f"Deleted {purged.outbox} relayed events and {purged.inbox} handled messages.")
        for what, count in {
            "entries of history": purged.history,
            "heartbeats of workers": purged.heartbeats,
            "pauses that are over": purged.holds,
            **purged.guests,
        }.items():
            if count:
                self.stdout.write(f"Deleted {count} {what}.")
        if purged.spared:
            self.stdout.write(f"Left {purged.spared} older rows, because their flows are unfinished.")

    def _plan(self, types: list[str], age: timedelta | None, *, as_json: bool) -> None:
        kept = retentions.of_types(age=age, types=types)
        default = retentions.default() if age is None else age
        further = {
            "all other types": default,
            "history, heartbeats and pauses": default,
            **retentions.of_guests(age=age),
        }
        every, last = conf.current().purge_every, notes.last()
        if as_json:
            self.say_json(
                {
                    "kept": [
                        {
                            "table": each.table,
                            "type": each.type,
                            "days": each.age / _DAY,
                            "by": each.by,
                            "readers": each.readers,
                        }
                        for each in kept
                    ],
                    "further": {what: its / _DAY for what, its in further.items()},
                    "purge_every": every,
                    "last_began_at": times.aware(last.began_at) if last else None,
                    "last_ended_at": times.aware(last.ended_at) if last and last.ended_at else None,
                }
            )
            return
        for each in kept:
            shown = f"{each.age / _DAY:>7.1f} d  {each.table:<6}  {each.type}  {each.by}  {', '.join(each.readers)}"
            self.stdout.write(texts.line(shown).rstrip())
        for what, its in further.items():
            self.stdout.write(f"{its / _DAY:>7.1f} d  {what}")
        self.stdout.write(f"{_who_purges(every)}; {_since(last)}.")


def _who_purges(every: float | None) -> str:
    if every is None:
        return "No relay purges (PURGE_EVERY is None): run `manage.py purge_events` daily"
    return f"Relays purge by themselves every {human_duration(timedelta(seconds=every))} (PURGE_EVERY)"


def _since(last: notes.Purge | None) -> str:
    if last is None:
        return "nothing was purged here yet"
    ago = human_duration(times.aware(times.now()) - times.aware(last.began_at))
    ended = "" if last.ended_at else ", and has not ended"
    return f"the last purge began {ago} ago{ended}"
