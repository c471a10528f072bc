"""The whole move: prepare the target, pause the context, drain, copy, switch, open; and the ways back.

Each step is noted in ``ContextMove`` before it begins and may be done twice, so a killed move goes on where it stood.
From the first step to the last, one of the two databases has its fence closed: nobody works in both.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL, Identifier

from microworkflows import times
from microworkflows.cutover.models import ContextMode, ContextMove
from microworkflows.cutover.splitting import (
    copying,
    databases,
    elsewhere,
    fence,
    others,
    plan,
    preflight,
    tables,
)
from microworkflows.cutover.splitting.databases import address, execute
from microworkflows.cutover.splitting.fence import Sign
from microworkflows.cutover.splitting.progress import Progress
from microworkflows.cutover.splitting.steps import AGAIN, AWAY, MoveStep, SplitError
from microworkflows.cutover.splitting.tables import Table
from microworkflows.cutover.unplugging import proof
from microworkflows.models import OutboxEvent

_LOOK_SECONDS = 0.2
_HINT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Move:
    """One context on its way from one database to another."""

    context: str
    source: BaseDatabaseWrapper
    target: BaseDatabaseWrapper
    say: Callable[[str], None]
    progress: Progress
    patience: float
    """Seconds for which to try to fence in a table that others use."""
    unproven: str = ""
    """The reason to move without a proof that the context is apart from the others; empty to ask for one."""

    def run(self) -> None:
        """Move the context, or go on with a move that stopped.

        Raises:
            SplitError: the context cannot be moved like this, or the move stopped; run it again, or abort it.
        """
        with databases.only_mover(self.source, self.context):
            preflight.refuse(self.context, preflight.of_context(self.context))
            preflight.refuse(self.context, preflight.of_migrations(self.source))
            noted = self._noted()
            if noted is not None and noted.step in AWAY - {MoveStep.OPEN}:
                self.say(
                    f"{self.context} was moved on {noted.changed_at:%d %B %Y, %H:%M %Z}; there is nothing left to do."
                )
                return
            if noted is None:
                problems = preflight.of_source(self.source, self.target, self.context, unproven=self.unproven)
                preflight.refuse(self.context, problems)
            refused = preflight.of_target(self.source, self.target, self.context, resumed=noted is not None)
            preflight.refuse(self.context, refused)
            if noted is None:
                self.say(f"{self.context}, {proof.evidence(self.context, self.unproven)}")
            for line in plan.lines(self.context, self.source, self.target):
                self.say(line)
            with databases.only_mover(self.target, self.context):
                self._go_on(MoveStep.PREPARE if noted is None else MoveStep(noted.step))

    def check(self) -> None:
        """Say what the move would fence off, and which code may come up against it; change nothing.

        Raises:
            SplitError: the context cannot be moved as it is.
        """
        problems = [*preflight.of_context(self.context), *preflight.of_migrations(self.source)]
        if not problems and self._noted() is None:
            problems += preflight.of_source(self.source, self.target, self.context, unproven=self.unproven)
            problems += preflight.of_target(self.source, self.target, self.context, resumed=False)
        preflight.refuse(self.context, problems)
        for line in plan.lines(self.context, self.source, self.target):
            self.say(line)

    def fence_others(self) -> None:
        """Fence others' tables off in the target of a move that a version without this fence made.

        Raises:
            SplitError: the context has not moved there, or others' tables have rows there.
        """
        with databases.only_mover(self.source, self.context):
            noted = self._noted()
            if noted is None or noted.step not in AWAY - {MoveStep.OPEN}:
                raise SplitError(f"{self.context} has not moved to {address(self.target)}.")
            if not others.made_for(self.target):
                preflight.refuse(self.context, preflight.of_others_rows(self.target, self.context))
                elsewhere.mark(self.target, self.context, self.source)
            self._fence_others()

    def abort(self) -> None:
        """Give up a move before the switch: the context works in the source again, and the target is emptied.

        Raises:
            SplitError: no move is under way, or it is too late.
        """
        with databases.only_mover(self.source, self.context):
            noted = self._noted()
            if noted is None:
                raise SplitError(f"No move of {self.context} is under way in {address(self.source)}.")
            if noted.step in AWAY:
                raise SplitError(
                    f"{self.context} works in {noted.target} already, so there is nothing to abort. To go back, move it "
                    f"back: run split_database {self.context} there, with --to this database."
                )
            own = self._own(self.source)
            with transaction.atomic(using=self.source.alias):
                fence.open_gate(self.source, self.context)
                noted.delete(using=self.source.alias)
            self.say(f"The move of {self.context} is given up; it works in {address(self.source)} again.")
            self._take_down(self.source, own)
            try:
                self._empty_target()
            except DatabaseError as error:
                self.say(f"{address(self.target)} could not be emptied; create it anew: {str(error).strip()}")

    def drop_source(self) -> None:
        """Empty the context's old tables in the source.

        Raises:
            SplitError: the context has not moved.
        """
        with databases.only_mover(self.source, self.context):
            noted = self._noted()
            if noted is None or noted.step not in {MoveStep.MOVED, MoveStep.DROPPED}:
                raise SplitError(
                    f"{self.context} has not moved, so its tables here are the ones it works with."
                )
            if fence.is_closed(self.target, self.context) and not preflight.was_left(
                self.target, self.context
            ):
                raise SplitError(
                    f"{self.context} does not work in {address(self.target)}. Nothing was dropped."
                )
            preflight.refuse(self.context, preflight.of_only_copy(self.target, self._own(self.target), noted))
            own = [Identifier(table.name) for table in self._own(self.source) if not table.of_events]
            if own:
                with fence.passing(self.source, self.context):
                    execute(self.source, "SELECT set_config('lock_timeout', '5s', true)")
                    execute(self.source, SQL("TRUNCATE {}").format(SQL(", ").join(own)))
            self._note(MoveStep.DROPPED)
            self.say(f"The old tables of {self.context} are empty; the fence around them stays.")

    # The steps

    def _go_on(self, step: MoveStep) -> None:
        steps = {
            MoveStep.PREPARE: self._prepare,
            MoveStep.PAUSE: self._pause,
            MoveStep.DRAIN: self._drain,
            MoveStep.COPY: self._copy,
            MoveStep.SWITCH: self._switch,
            MoveStep.OPEN: self._open,
        }
        paused_at = None
        for following in list(steps)[list(steps).index(step) :]:
            if following is MoveStep.PAUSE:
                paused_at = time.monotonic()
            self._note(following)
            self.say(f"{following}: {' '.join((steps[following].__doc__ or '').split())}")
            try:
                steps[following]()
            except SplitError as error:
                raise SplitError(f"{error}\n{AGAIN}") from error
        if paused_at is not None:
            self.say(
                f"{self.context} paused for {time.monotonic() - paused_at:.1f} s, and until its worker is back."
            )

    def _prepare(self) -> None:
        """The target gets its tables."""
        databases.migrate(self.target, alias=self.source.alias)
        own = self._own(self.source)
        if not preflight.was_left(self.target, self.context):
            here, there = address(self.target), address(self.source)
            sign = Sign(
                text=f"{self.context} does not work in {here} yet: it is being moved here from {there}.",
                hint="Wait and try again, as the kit's workers do.",
            )
            fence.put_up(self.target, self.context, own, sign, patience=self.patience)
        preflight.refuse(self.context, preflight.of_prepared_target(self.target, self.context, own))
        is_new = not preflight.was_left(self.target, self.context)
        if is_new:
            elsewhere.mark(self.target, self.context, self.source)
        self._fence_others(new=is_new)

    def _pause(self) -> None:
        """From here on its events wait, at the broker and in its worker."""
        sign = Sign(
            text=f"{self.context} is being moved to {address(self.target)}; until it is there, nobody can write its "
            "rows.",
            hint="Wait and try again, as the kit's workers do. To give the move up, run split_database with --abort.",
        )
        try:
            fence.put_up(self.source, self.context, self._own(self.source), sign, patience=self.patience)
            refused = preflight.of_steps_by_monolith(self.source, self.target, self.context)
            preflight.refuse(self.context, refused)
        except SplitError:
            fence.open_gate(self.source, self.context)
            self._note(MoveStep.PREPARE)
            raise

    def _drain(self) -> None:
        """The events that it announced go to the broker."""
        pending = OutboxEvent.objects.using(self.source.alias).pending(context=self.context)
        hint_at = time.monotonic() + _HINT_SECONDS
        while number := pending.count():
            if time.monotonic() > hint_at:
                self.say(
                    f"{number} events of {self.context} are still to be relayed. Does its worker, or "
                    f"`manage.py relay {self.context}`, run on this database?"
                )
                hint_at = time.monotonic() + _HINT_SECONDS
            time.sleep(_LOOK_SECONDS)

    def _copy(self) -> None:
        """Its rows are copied and verified."""
        own = self._own(self.source)
        counts = copying.copy(self.source, self.target, self.context, own, progress=self.progress)
        self._note(MoveStep.SWITCH, counts=counts)
        for name, count in counts.items():
            self.say(f"{count:>12}  {name}")

    def _switch(self) -> None:
        """The source gives it up, in one transaction."""
        sign = Sign(
            text=f"{self.context} was moved to {address(self.target)}; its rows here are old.",
            hint="Start this process with the DATABASE_URL of that database.",
        )
        with transaction.atomic(using=self.source.alias):
            for table in self._own(self.source):
                if table.of_events:
                    execute(self.source, table.delete())
            fence.write_on(self.source, self.context, sign)
            self._note(MoveStep.OPEN)

    def _open(self) -> None:
        """The target's fence comes down."""
        self._fence_others()  # what may have come since
        with transaction.atomic(using=self.target.alias):
            if not preflight.was_left(self.target, self.context):
                modes = list(ContextMode.objects.using(self.source.alias).all())
                ContextMode.objects.using(self.target.alias).bulk_create(modes, ignore_conflicts=True)
            ContextMove.objects.using(self.target.alias).filter(pk=self.context).delete()
            fence.open_gate(self.target, self.context)
        self._note(MoveStep.MOVED)
        self._take_down(self.target, self._own(self.target))

    # Shared by the steps

    def _fence_others(self, *, new: bool = False) -> None:
        """Fence off others' tables, if the target was made for a context and is no monolith's."""
        done = elsewhere.keep_up(self.target, new=new)
        if done.fenced:
            self.say(f"{len(done.fenced):>12}  tables of others refuse to be read and written in the target")
        for name, number in done.set_aside.items():
            self.say(
                f"{number:>12}  rows of {name} were there already: kept in the schema {elsewhere.SET_ASIDE}"
            )

    def _own(self, connection: BaseDatabaseWrapper) -> list[Table]:
        return tables.of_context(connection, self.context)

    def _noted(self) -> ContextMove | None:
        """Return the move that is noted in the source, if one is.

        Raises:
            SplitError: the move is to another database.
        """
        noted = ContextMove.objects.using(self.source.alias).filter(pk=self.context).first()
        if noted is not None and noted.target != address(self.target):
            what = "was moved" if noted.step in AWAY else "is being moved"
            raise SplitError(
                f"{self.context} {what} to {noted.target}, not to {address(self.target)}. Say --to {noted.target}, "
                "with its password."
            )
        return noted

    def _note(self, step: MoveStep, **more: object) -> None:
        now = times.now()
        begun = {
            "target": address(self.target),
            "started_at": now,
            "evidence": partial(proof.evidence, self.context, self.unproven),
        }
        present = {"step": step.value, "changed_at": now, **more}
        ContextMove.objects.using(self.source.alias).update_or_create(
            pk=self.context, defaults=present, create_defaults={**begun, **present}
        )

    def _take_down(self, connection: BaseDatabaseWrapper, own: list[Table]) -> None:
        """Remove an open fence; if others use a table without a pause, it stays and lets everybody through."""
        with suppress(SplitError):
            fence.take_down(connection, self.context, own, patience=self.patience)

    def _empty_target(self) -> None:
        moves_back = preflight.was_left(self.target, self.context)
        with fence.passing(self.target, self.context):
            for table in reversed(self._own(self.target)):
                if table.columns and (table.of_events or not moves_back):
                    execute(self.target, table.delete())
