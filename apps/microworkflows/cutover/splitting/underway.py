"""A move under way: its two databases, its tables, what is noted of it, and what several steps do."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL

from microworkflows import times
from microworkflows.cutover.models import ContextMove
from microworkflows.cutover.splitting import chunks, elsewhere, preflight, rounds, tables
from microworkflows.cutover.splitting.databases import address
from microworkflows.cutover.splitting.patience import patiently
from microworkflows.cutover.splitting.progress import Progress
from microworkflows.cutover.splitting.steps import AWAY, MoveStep, SplitError
from microworkflows.cutover.splitting.tables import Table
from microworkflows.cutover.unplugging import proof


@dataclass(frozen=True, kw_only=True)
class Underway:
    """One context on its way from one database to another."""

    context: str
    source: BaseDatabaseWrapper
    target: BaseDatabaseWrapper
    say: Callable[[str], None]
    progress: Progress
    patience: float
    """Seconds for which to try to have a table for oneself that others use."""
    unproven: str = ""
    """The reason to move without a proof that the context is apart from the others; empty to ask for one."""

    def round(self, *, verify_all: bool = False) -> rounds.Round:
        """Copy what has changed since the last round, and keep the numbers of rows up to date once all were counted."""
        done = rounds.catch_up(
            *(self.source, self.target, self.context, self.with_key()), verify_all=verify_all
        )
        before = done.counts or self.state().counts
        grown = {} if done.counts else done.grown
        if done.counts or any(grown.values()):
            counts = {name: number + grown.get(name, 0) for name, number in before.items()}
            ContextMove.objects.using(self.source.alias).filter(pk=self.context).update(counts=counts)
        return done

    def forget_copied(self) -> None:
        """Empty the context's tables in the target, and delete its rows of the shared ones."""
        self.truncate(self.target)
        for table in self.own(self.target):
            if table.of_events and table.columns:
                chunks.delete(self.target, self.context, table)

    def truncate(self, connection: BaseDatabaseWrapper) -> None:
        """Empty the tables of the context's models."""
        own = [table.name for table in self.of_models(connection) if table.columns]
        if own:
            passed = SQL("SET LOCAL microworkflows.moving = {}").format(self.context)
            truncated = SQL("TRUNCATE {}").format(tables.each(own))
            patiently(connection, own, passed, truncated, patience=self.patience)

    def keep_others_away(self, *, new: bool = False) -> None:
        """Fence off others' tables, if the target was made for a context and is no monolith's."""
        done = elsewhere.keep_up(self.target, new=new)
        if done.fenced:
            self.say(f"{len(done.fenced):>12}  tables of others refuse to be read and written in the target")
        for name, number in done.set_aside.items():
            self.say(
                f"{number:>12}  rows of {name} were there already: kept in the schema {elsewhere.SET_ASIDE}"
            )

    def refuse_other_columns(self) -> None:
        """Stop if a table was changed by a migration since the move began."""
        own = self.own(self.source)
        preflight.refuse(self.context, preflight.of_columns(self.source, self.target, own))

    def own(self, connection: BaseDatabaseWrapper) -> list[Table]:
        return tables.of_context(connection, self.context)

    def of_models(self, connection: BaseDatabaseWrapper) -> list[Table]:
        """Return the tables of the context's models: others use none of these."""
        return [table for table in self.own(connection) if not table.of_events]

    def with_key(self) -> list[Table]:
        return [table for table in self.own(self.source) if table.key]

    def noted(self) -> ContextMove | None:
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

    def state(self) -> ContextMove:
        """Return what is noted of this move."""
        return ContextMove.objects.using(self.source.alias).get(pk=self.context)

    def note(self, step: MoveStep, **more: object) -> None:
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
