"""The steps while the context works: the target gets its tables and its rows, and what changes meanwhile is noted and follows."""

from psycopg.sql import SQL, Identifier

from microworkflows import times
from microworkflows.cutover.splitting import (
    capture,
    chunks,
    constraints,
    databases,
    elsewhere,
    fence,
    preflight,
    shapes,
    tables,
)
from microworkflows.cutover.splitting.databases import address, execute
from microworkflows.cutover.splitting.fence import Sign
from microworkflows.cutover.splitting.steps import MoveStep
from microworkflows.cutover.splitting.switching import await_relay
from microworkflows.cutover.splitting.underway import Underway


def prepare(move: Underway) -> None:
    """The target gets its tables."""
    fence.open_gate(move.source, move.context)
    databases.migrate(move.target, alias=move.source.alias)
    own = move.own(move.source)
    moves_back = preflight.was_left(move.target, move.context)
    if not moves_back:
        here, there = address(move.target), address(move.source)
        sign = Sign(
            text=f"{move.context} does not work in {here} yet: it is being moved here from {there}.",
            hint="Wait and try again, as the kit's workers do.",
        )
        fence.put_up(move.target, move.context, own, sign, patience=move.patience)
    begun = bool(move.state().copied)
    preflight.refuse(
        move.context,
        preflight.of_prepared_target(move.source, move.target, move.context, own, begun=begun),
    )
    if not move.state().aside:
        hanging = shapes.missing(move.source, move.target, move.of_models(move.source))
        preflight.refuse(move.context, [*shapes.unmovable(move.target, own), *hanging])
    if not moves_back:
        elsewhere.mark(move.target, move.context, move.source)
    move.keep_others_away(new=not moves_back)


def capture_changes(move: Underway) -> None:
    """From here on, triggers note which of its rows change."""
    own = move.own(move.source)
    fence.put_up(move.source, move.context, own, None, patience=move.patience)
    capture.put_up(move.source, move.context, own, patience=move.patience)
    aside = move.state().aside or constraints.to_lay_aside(move.target, move.of_models(move.target))
    move.note(MoveStep.CAPTURE, aside=aside, copied={}, counts={})
    constraints.lay(move.target, aside, patience=move.patience)
    move.forget_copied()


def copy(move: Underway) -> None:
    """Its rows are copied, range by range; it works on."""
    copied = dict(move.state().copied)
    left = [table for table in move.with_key() if copied.get(table.name, ()) is not None]
    move.progress.begin(sum(tables.count(move.source, table) for table in left))
    for table in left:
        move.progress.name(table.name)

        def note(key: chunks.Key | None, name: str = table.name) -> None:
            copied[name] = key
            move.note(MoveStep.COPY, copied=copied)

        after = copied.get(table.name)
        chunks.copy(
            *(move.source, move.target, move.context, table),
            after=after,
            note=note,
            each_row=move.progress.add,
        )
    move.progress.end()


def catch_up(move: Underway) -> None:
    """What has changed meanwhile follows, and all rows are compared; it works on."""
    move.refuse_other_columns()
    aside = move.state().aside
    constraints.lay_again(move.target, aside, patience=move.patience)  # after a pause that failed
    move.round()
    constraints.bring_back_unique(move.target, aside, patience=move.patience)
    for table in move.own(move.target):
        execute(move.target, SQL("ANALYZE {}").format(Identifier(table.name)))
    counts = move.round(verify_all=True).counts
    shapes.refresh(move.target, move.of_models(move.target))
    for name, count in counts.items():
        move.say(f"{count:>12}  {name}")
    move.keep_others_away()  # what may have come since
    await_relay(move, before=times.now())
