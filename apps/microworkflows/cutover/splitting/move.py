"""A move, as the command asks for it: run it or go on, check it, give it up, and empty the old tables.

Each step (:mod:`.filling`, :mod:`.switching`) is noted in ``ContextMove`` before it begins and may be done twice, so a killed move goes on where it stood.
From the first step to the last, one of the two databases has its fence closed: nobody works in both.
"""

from collections.abc import Callable

import psycopg
from django.db import DatabaseError

from microworkflows import times
from microworkflows.cutover.models import ContextMove
from microworkflows.cutover.splitting import (
    capture,
    constraints,
    databases,
    elsewhere,
    fence,
    filling,
    others,
    plan,
    preflight,
    switching,
)
from microworkflows.cutover.splitting.databases import address
from microworkflows.cutover.splitting.steps import AGAIN, AWAY, DONE, MoveStep, SplitError
from microworkflows.cutover.splitting.underway import Underway
from microworkflows.cutover.unplugging import proof

STEPS: dict[MoveStep, Callable[[Underway], None]] = {
    MoveStep.PREPARE: filling.prepare,
    MoveStep.CAPTURE: filling.capture_changes,
    MoveStep.COPY: filling.copy,
    MoveStep.CATCH_UP: filling.catch_up,
    MoveStep.PAUSE: switching.pause,
    MoveStep.DRAIN: switching.drain,
    MoveStep.SWITCH: switching.switch,
    MoveStep.OPEN: switching.open_target,
    MoveStep.TIDY: switching.tidy,
}
"""Every step, in this order."""


class Move(Underway):
    """One context on its way from one database to another."""

    def run(self) -> None:
        """Move the context, or go on with a move that stopped.

        Raises:
            SplitError: the context cannot be moved like this, or the move stopped; run it again, or abort it.
        """
        with databases.only_mover(self.source, self.context):
            preflight.refuse(self.context, preflight.of_migrations(self.source))
            noted = self.noted()
            if noted is not None and noted.step in DONE:
                self.say(
                    f"{self.context} was moved on {times.shown(noted.changed_at)}; there is nothing left to do."
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
                self._go_on(self._first(noted))

    def check(self) -> None:
        """Say what the move would fence off, and which code may come up against it; change nothing.

        Raises:
            SplitError: the context cannot be moved as it is.
        """
        problems = list(preflight.of_migrations(self.source))
        if not problems and self.noted() is None:
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
            noted = self.noted()
            if noted is None or noted.step not in DONE:
                raise SplitError(f"{self.context} has not moved to {address(self.target)}.")
            if not others.made_for(self.target):
                preflight.refuse(self.context, preflight.of_others_rows(self.target, self.context))
                elsewhere.mark(self.target, self.context, self.source)
            self.keep_others_away()

    def abort(self) -> None:
        """Give up a move before the switch: the context works in the source again, and the target is emptied.

        Raises:
            SplitError: no move is under way, it is too late, or a table is in use; then it may be done again.
        """
        with databases.only_mover(self.source, self.context):
            noted = self.noted()
            if noted is None:
                raise SplitError(f"No move of {self.context} is under way in {address(self.source)}.")
            if noted.step in AWAY:
                raise SplitError(
                    f"{self.context} works in {noted.target} already, so there is nothing to abort. To go back, move it "
                    f"back: run split_database {self.context} there, with --to this database."
                )
            fence.open_gate(self.source, self.context)
            self.say(f"The move of {self.context} is given up; it works in {address(self.source)} again.")
            own = self.own(self.source)
            capture.take_down(self.source, self.context, own, patience=self.patience)
            fence.take_down(self.source, self.context, own, patience=self.patience)
            try:
                if noted.step != MoveStep.PREPARE or noted.copied:
                    self._empty_target()
            except DatabaseError as error:
                self.say(f"{address(self.target)} could not be emptied; create it anew: {str(error).strip()}")
            noted.delete(using=self.source.alias)  # last: until then, it may be given up again

    def drop_source(self) -> None:
        """Empty the context's old tables in the source.

        Raises:
            SplitError: the context has not moved.
        """
        with databases.only_mover(self.source, self.context):
            noted = self.noted()
            if noted is None or noted.step not in DONE:
                raise SplitError(
                    f"{self.context} has not moved, so its tables here are the ones it works with."
                )
            if fence.is_closed(self.target, self.context) and not preflight.was_left(
                self.target, self.context
            ):
                raise SplitError(
                    f"{self.context} does not work in {address(self.target)}. Nothing was dropped."
                )
            preflight.refuse(self.context, preflight.of_only_copy(self.target, self.own(self.target), noted))
            self.truncate(self.source)
            self.note(MoveStep.DROPPED)
            self.say(f"The old tables of {self.context} are empty; the fence around them stays.")

    def _empty_target(self) -> None:
        """Delete what was copied, and what was laid aside comes back."""
        self.forget_copied()
        aside = self.state().aside
        constraints.bring_back_unique(self.target, aside, patience=self.patience)
        constraints.bring_back_at_once(self.target, aside, patience=self.patience)
        constraints.validate(self.target, aside)

    def _first(self, noted: ContextMove | None) -> MoveStep:
        """Return the step to go on with; a move of which not all changes were noted begins anew."""
        if noted is None:
            return MoveStep.PREPARE
        step = MoveStep(noted.step)
        if step in AWAY | {MoveStep.PREPARE, MoveStep.CAPTURE}:
            return step
        if capture.stands(self.source, self.context, self.own(self.source)):
            return step
        self.say(
            "Not all that has changed since was noted (an earlier version began this move, or a trigger was removed): it begins anew."
        )
        return MoveStep.PREPARE

    def _go_on(self, step: MoveStep) -> None:
        for following in list(STEPS)[list(STEPS).index(step) :]:
            self.note(following)
            self.say(f"{following}: {' '.join((STEPS[following].__doc__ or '').split())}")
            try:
                STEPS[following](self)
            except (SplitError, DatabaseError, psycopg.Error) as error:
                if following in switching.PAUSED:
                    switching.work_on(self)
                if isinstance(error, SplitError):
                    raise SplitError(f"{error}\n{self._again(following)}") from error
                raise
        self.note(MoveStep.MOVED)
        if (paused := self.state().paused_seconds) is not None:
            self.say(f"{self.context} paused for {paused:.1f} s, and until its worker is back.")

    def _again(self, step: MoveStep) -> str:
        if step in AWAY:
            there = address(self.target)
            return f"{self.context} works in {there} already: start its worker there. Run the same command again to tidy up."
        return AGAIN
