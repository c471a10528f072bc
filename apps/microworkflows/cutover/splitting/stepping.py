"""The steps of a move: prepare, capture, copy and catch up while the context works; pause, drain, switch, open; tidy up."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL, Identifier

from microworkflows import times
from microworkflows.cutover.models import ContextMode, ContextMove
from microworkflows.cutover.splitting import (
    capture,
    chunks,
    constraints,
    databases,
    elsewhere,
    fence,
    preflight,
    rounds,
    sequences,
    tables,
)
from microworkflows.cutover.splitting.databases import address, execute
from microworkflows.cutover.splitting.fence import Sign
from microworkflows.cutover.splitting.patience import BusyError, let_writers_end, patiently
from microworkflows.cutover.splitting.progress import Progress
from microworkflows.cutover.splitting.steps import AGAIN, AWAY, MoveStep, SplitError
from microworkflows.cutover.splitting.tables import Table
from microworkflows.models import OutboxEvent

_LOOK_SECONDS = 0.05
_HINT_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 1.0
"""Longest wait for others' transactions while the context pauses; if they take longer, it works on meanwhile."""
_PAUSED = frozenset({MoveStep.PAUSE, MoveStep.DRAIN, MoveStep.SWITCH})
_SHORT_ROUND_SECONDS = 0.3
"""A round that takes no longer leaves so few changes that the last one fits into the pause."""


@dataclass(frozen=True, kw_only=True)
class Stepping:
    """One context on its way from one database to another, step by step."""

    context: str
    source: BaseDatabaseWrapper
    target: BaseDatabaseWrapper
    say: Callable[[str], None]
    progress: Progress
    patience: float
    """Seconds for which to try to have a table for oneself that others use."""

    def _first(self, noted: ContextMove | None) -> MoveStep:
        """Return the step to go on with; a move of which not all changes were noted begins anew."""
        if noted is None:
            return MoveStep.PREPARE
        step = MoveStep(noted.step)
        if step in AWAY | {MoveStep.PREPARE, MoveStep.CAPTURE}:
            return step
        if capture.stands(self.source, self.context, self._own(self.source)):
            return step
        self.say(
            "Not all that has changed since was noted (an earlier version began this move, or a trigger was removed): it begins anew."
        )
        return MoveStep.PREPARE

    def _go_on(self, step: MoveStep) -> None:
        steps = {
            MoveStep.PREPARE: self._prepare,
            MoveStep.CAPTURE: self._capture,
            MoveStep.COPY: self._copy,
            MoveStep.CATCH_UP: self._catch_up,
            MoveStep.PAUSE: self._pause,
            MoveStep.DRAIN: self._drain,
            MoveStep.SWITCH: self._switch,
            MoveStep.OPEN: self._open,
            MoveStep.TIDY: self._tidy,
        }
        for following in list(steps)[list(steps).index(step) :]:
            self._note(following)
            self.say(f"{following}: {' '.join((steps[following].__doc__ or '').split())}")
            try:
                steps[following]()
            except (SplitError, DatabaseError) as error:
                if following in _PAUSED:
                    self._work_on()
                if isinstance(error, SplitError):
                    raise SplitError(f"{error}\n{self._again(following)}") from error
                raise
        self._note(MoveStep.MOVED)
        if (paused := self._progress().paused_seconds) is not None:
            self.say(f"{self.context} paused for {paused:.1f} s, and until its worker is back.")

    def _prepare(self) -> None:
        """The target gets its tables."""
        fence.open_gate(self.source, self.context)
        databases.migrate(self.target, alias=self.source.alias)
        own = self._own(self.source)
        moves_back = preflight.was_left(self.target, self.context)
        if not moves_back:
            here, there = address(self.target), address(self.source)
            sign = Sign(
                text=f"{self.context} does not work in {here} yet: it is being moved here from {there}.",
                hint="Wait and try again, as the kit's workers do.",
            )
            fence.put_up(self.target, self.context, own, sign, patience=self.patience)
        begun = bool(self._progress().copied)
        preflight.refuse(
            self.context,
            preflight.of_prepared_target(self.source, self.target, self.context, own, begun=begun),
        )
        if not moves_back:
            elsewhere.mark(self.target, self.context, self.source)
        self._fence_others(new=not moves_back)

    def _capture(self) -> None:
        """From here on, triggers note which of its rows change."""
        own = self._own(self.source)
        fence.put_up(self.source, self.context, own, None, patience=self.patience)
        capture.put_up(self.source, self.context, own, patience=self.patience)
        aside = self._progress().aside or constraints.to_lay_aside(self.target, self._of_context(self.target))
        self._note(MoveStep.CAPTURE, aside=aside, copied={}, counts={})
        constraints.lay(self.target, aside, patience=self.patience)
        self._forget_copied()

    def _copy(self) -> None:
        """Its rows are copied, range by range; it works on."""
        copied = dict(self._progress().copied)
        left = [table for table in self._with_key() if copied.get(table.name, ()) is not None]
        self.progress.begin(sum(tables.count(self.source, table) for table in left))
        for table in left:
            self.progress.name(table.name)

            def note(key: chunks.Key | None, name: str = table.name) -> None:
                copied[name] = key
                self._note(MoveStep.COPY, copied=copied)

            after = copied.get(table.name)
            chunks.copy(
                *(self.source, self.target, self.context, table),
                after=after,
                note=note,
                each_row=self.progress.add,
            )
        self.progress.end()

    def _catch_up(self) -> None:
        """What has changed meanwhile follows, and all rows are compared; it works on."""
        self._refuse_other_columns()
        aside = self._progress().aside
        constraints.lay_foreign_keys(self.target, aside, patience=self.patience)  # after a pause that failed
        self._round()
        constraints.bring_back_unique(self.target, aside, patience=self.patience)
        for table in self._own(self.target):
            execute(self.target, SQL("ANALYZE {}").format(Identifier(table.name)))
        counts = self._round(verify_all=True).counts
        for name, count in counts.items():
            self.say(f"{count:>12}  {name}")
        self._fence_others()  # what may have come since
        self._await_relay(before=times.now())

    def _pause(self) -> None:
        """From here on its events wait, at the broker and in its worker."""
        sign = Sign(
            text=f"{self.context} is being moved to {address(self.target)}; until it is there, nobody can write its "
            "rows.",
            hint="Wait and try again, as the kit's workers do. To give the move up, run split_database with --abort.",
        )
        self._refuse_other_columns()
        refused = preflight.of_steps_by_monolith(self.source, self.target, self.context)
        preflight.refuse(self.context, refused)
        names = [table.name for table in self._own(self.source)]
        ends_at = time.monotonic() + self.patience
        while True:
            if not fence.is_closed(self.source, self.context):
                self._until_short()
                self._note(MoveStep.PAUSE, paused_at=times.now())
            fence.write_on(self.source, self.context, sign)
            try:
                let_writers_end(self.source, names, seconds=_LONGEST_WAIT_SECONDS)
            except BusyError as busy:
                fence.open_gate(self.source, self.context)
                if time.monotonic() > ends_at:
                    raise
                self.say(f"{busy} {self.context} works on meanwhile.")
                time.sleep(_LONGEST_WAIT_SECONDS)
            else:
                return

    def _drain(self) -> None:
        """The events that it announced go to the broker."""
        self._await_relay()

    def _switch(self) -> None:
        """The last changes follow, and the source gives it up, in one transaction."""
        self._refuse_other_columns()
        self._round()
        own = self._own(self.source)
        without_key = [table for table in own if not table.key]
        counts = rounds.replace(self.source, self.target, self.context, without_key)
        sequences.go_on(self.source, self.target, own)
        constraints.bring_back_foreign_keys(self.target, self._progress().aside, patience=self.patience)
        sign = Sign(
            text=f"{self.context} was moved to {address(self.target)}; its rows here are old.",
            hint=f"Start this process with {databases.setting()} of that database.",
        )
        with transaction.atomic(using=self.source.alias):
            for statement in tables.unfinished(self.context):
                execute(self.source, statement)
            fence.write_on(self.source, self.context, sign)
            self._note(MoveStep.OPEN, counts={**self._progress().counts, **counts})

    def _open(self) -> None:
        """The target's fence opens: it can write there."""
        with transaction.atomic(using=self.target.alias):
            if not preflight.was_left(self.target, self.context):
                modes = list(ContextMode.objects.using(self.source.alias).all())
                ContextMode.objects.using(self.target.alias).bulk_create(modes, ignore_conflicts=True)
            ContextMove.objects.using(self.target.alias).filter(pk=self.context).delete()
            fence.open_gate(self.target, self.context)
        paused_at = self._progress().paused_at
        if paused_at is not None and self._progress().paused_seconds is None:
            self._note(MoveStep.OPEN, paused_seconds=(times.now() - paused_at).total_seconds())

    def _tidy(self) -> None:
        """Triggers and old events leave the source, and foreign keys are checked; it works already."""
        own = self._own(self.source)
        capture.take_down(self.source, self.context, own, patience=self.patience)
        for table in own:
            if table.of_events:
                chunks.delete(self.source, self.context, table)
        constraints.validate(self.target, self._progress().aside)
        fence.take_down(self.target, self.context, self._own(self.target), patience=self.patience)

    # Shared by the steps

    def _work_on(self) -> None:
        """After a pause that failed, the context works on in the source, and catches up again later."""
        with suppress(DatabaseError), transaction.atomic(using=self.source.alias):
            if self._progress().step in _PAUSED:  # and did not switch
                fence.open_gate(self.source, self.context)
                self._note(MoveStep.CATCH_UP)

    def _again(self, step: MoveStep) -> str:
        if step in AWAY:
            there = address(self.target)
            return f"{self.context} works in {there} already: start its worker there. Run the same command again to tidy up."
        return AGAIN

    def _round(self, *, verify_all: bool = False) -> rounds.Round:
        """Copy what has changed since the last round, and keep the numbers of rows up to date once all were counted."""
        done = rounds.catch_up(
            *(self.source, self.target, self.context, self._with_key()), verify_all=verify_all
        )
        before = done.counts or self._progress().counts
        grown = {} if done.counts else done.grown
        if done.counts or any(grown.values()):
            counts = {name: number + grown.get(name, 0) for name, number in before.items()}
            ContextMove.objects.using(self.source.alias).filter(pk=self.context).update(counts=counts)
        return done

    def _until_short(self) -> None:
        """Copy what changes until that takes so little time that the rest fits into a pause."""
        hint_at = time.monotonic() + _HINT_SECONDS
        while True:
            began_at = time.monotonic()
            done = self._round()
            if time.monotonic() - began_at < _SHORT_ROUND_SECONDS:
                return
            if time.monotonic() > hint_at:
                self.say(
                    f"{sum(done.changed.values())} rows had changed once more; {self.context} is written to about as fast as they "
                    "are copied. Wait for a quieter time, or give the move up with --abort."
                )
                hint_at = time.monotonic() + _HINT_SECONDS

    def _await_relay(self, *, before: datetime | None = None) -> None:
        """Wait until its events are with the broker: those recorded before a time, or all."""
        pending = OutboxEvent.objects.using(self.source.alias).pending(context=self.context)
        if before is not None:
            pending = pending.filter(added__lt=before)
        hint_at = time.monotonic() + _HINT_SECONDS
        while number := pending.count():
            if time.monotonic() > hint_at:
                self.say(
                    f"{number} events of {self.context} are still to be relayed. Does its worker, or "
                    f"`manage.py relay {self.context}`, run on this database?"
                )
                hint_at = time.monotonic() + _HINT_SECONDS
            time.sleep(_LOOK_SECONDS)

    def _forget_copied(self) -> None:
        """Empty the context's tables in the target, and delete its rows of the shared ones."""
        self._truncate(self.target)
        for table in self._own(self.target):
            if table.of_events and table.columns:
                chunks.delete(self.target, self.context, table)

    def _truncate(self, connection: BaseDatabaseWrapper) -> None:
        """Empty the tables of the context's models."""
        own = [table.name for table in self._of_context(connection) if table.columns]
        if own:
            passed = SQL("SET LOCAL microworkflows.moving = {}").format(self.context)
            truncated = SQL("TRUNCATE {}").format(tables.each(own))
            patiently(connection, own, passed, truncated, patience=self.patience)

    def _fence_others(self, *, new: bool = False) -> None:
        """Fence off others' tables, if the target was made for a context and is no monolith's."""
        done = elsewhere.keep_up(self.target, new=new)
        if done.fenced:
            self.say(f"{len(done.fenced):>12}  tables of others refuse to be read and written in the target")
        for name, number in done.set_aside.items():
            self.say(
                f"{number:>12}  rows of {name} were there already: kept in the schema {elsewhere.SET_ASIDE}"
            )

    def _refuse_other_columns(self) -> None:
        """Stop if a table was changed by a migration since the move began."""
        own = self._own(self.source)
        preflight.refuse(self.context, preflight.of_columns(self.source, self.target, own))

    def _own(self, connection: BaseDatabaseWrapper) -> list[Table]:
        return tables.of_context(connection, self.context)

    def _of_context(self, connection: BaseDatabaseWrapper) -> list[Table]:
        """Return the tables of the context's models: others use none of these."""
        return [table for table in self._own(connection) if not table.of_events]

    def _with_key(self) -> list[Table]:
        return [table for table in self._own(self.source) if table.key]

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

    def _progress(self) -> ContextMove:
        """Return what is noted of this move."""
        return ContextMove.objects.using(self.source.alias).get(pk=self.context)

    def _note(self, step: MoveStep, **more: object) -> None:
        now = times.now()
        begun = {"target": address(self.target), "started_at": now}
        present = {"step": step.value, "changed_at": now, **more}
        ContextMove.objects.using(self.source.alias).update_or_create(
            pk=self.context, defaults=present, create_defaults={**begun, **present}
        )
