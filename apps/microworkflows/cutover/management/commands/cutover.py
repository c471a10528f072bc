"""``manage.py cutover``: shows the mode and figures of each context, and changes its mode."""

import getpass
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.forms import model_to_dict

from microworkflows import times
from microworkflows.cutover import backlog, footprints, switch
from microworkflows.cutover.doubts import KINDS
from microworkflows.cutover.evidence import Failures, Shadow
from microworkflows.cutover.models import ModeChange
from microworkflows.cutover.overview import Context, Worker, overview
from microworkflows.cutover.sides import Side
from microworkflows.cutover.stamps import Mode
from microworkflows.cutover.switch import CutoverRefusedError
from microworkflows.management.base import Exit, KitCommand, add_format

_MODES = [mode.value for mode in Mode]


class Command(KitCommand):
    help = "Show the contexts that are being handed over; with --mode, change the mode of one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("context", nargs="?", help="label of a context; by default all")
        add_format(parser)
        parser.add_argument("--history", action="store_true", help="show the changes instead, newest first")
        change = parser.add_argument_group("changing a mode")
        change.add_argument("--mode", choices=_MODES, help="the mode for the flows that begin from now on")
        change.add_argument(
            "--percent", type=int, help="with live: percentage of flows, 1 to 100; by default 100"
        )
        change.add_argument("--why", default="", help="the reason, for the history")
        change.add_argument("--by", help="name for the history; by default the user who runs this")
        change.add_argument(
            "--although",
            nargs="+",
            choices=list(map(str, KINDS)),
            default=[],
            metavar="DOUBT",
            help="go live although this is known to speak against it: " + ", ".join(KINDS),
        )
        change.add_argument(
            "--return-at",
            type=int,
            metavar="NUMBER",
            help="go back to inline by itself at so many failing messages of live flows; 0: never",
        )

    def handle(
        self, *args: Any, context: str | None, mode: str | None, history: bool, **options: Any
    ) -> None:
        if mode is not None:
            self._change(context, Mode(mode), **options)
        elif options["return_at"] is not None:
            self._set_return(context, options["return_at"], by=options["by"])
        elif options["percent"] is not None:
            raise CommandError("--percent is the share of flows that go live; pass --mode live as well.")
        elif history:
            self._show_history(context, as_json=options["format"] == "json")
        else:
            self._show(context, as_json=options["format"] == "json")

    def _change(
        self,
        context: str | None,
        mode: Mode,
        *,
        percent: int | None,
        why: str,
        by: str | None,
        **options: Any,
    ) -> None:
        if context is None:
            raise CommandError("Say which context changes its mode.")
        if options["return_at"] is not None:
            self._set_return(context, options["return_at"], by=by)
        try:
            setting = switch.change(
                context,
                mode=mode,
                percent=percent,
                by=by or getpass.getuser(),
                why=why,
                although=options["although"],
            )
        except CutoverRefusedError as error:
            raise CommandError(str(error)) from error
        if mode is not Mode.INLINE and not (known := footprints.summary(context)).is_clear:
            self.stderr.write(
                "\n".join(("warning: no shadow run shows this.", *known.said)), self.style.WARNING
            )
        self.stdout.write(f"{context} is {setting} for the flows that begin from now on.")

    def _set_return(self, context: str | None, failing: int, *, by: str | None) -> None:
        if context is None:
            raise CommandError("Say which context is to go back by itself.")
        try:
            switch.return_at(context, failing or None, by=by or getpass.getuser())
        except CutoverRefusedError as error:
            raise CommandError(str(error)) from error
        when = f"at {failing} failing messages of its live flows" if failing else "never"
        self.stdout.write(f"{context} goes back to inline by itself: {when}.")

    def _show(self, context: str | None, *, as_json: bool) -> None:
        figures = overview()
        known = {one.name: one for one in figures.contexts}
        if context is not None and context not in known:
            raise CommandError(
                f"{context!r} is not being cut over. MICROWORKFLOWS['CUTOVER'] names: {', '.join(known) or 'nothing'}.",
                returncode=Exit.MISUSED,
            )
        shown = list(known.values()) if context is None else [known[context]]
        if as_json:
            self.say_json([asdict(one) for one in shown])
            return
        for name, number in figures.forsaken.items():
            self.stdout.write(
                f"{name} is not named by MICROWORKFLOWS['CUTOVER'], and {number} flows wait for the monolith to do its "
                "steps. Name it again until they have ended."
            )
        for missed in figures.missed:
            self.stdout.write(
                f"{missed.number} × {missed.event} could not be recorded beside the direct calls, the last at "
                f"{times.shown(missed.last_at)}: {missed.error}"
            )
        if not shown:
            self.stdout.write("Nothing is being handed over: MICROWORKFLOWS['CUTOVER'] names no context.")
        else:
            heads = [
                "context",
                "mode",
                "since",
                "worker",
                "waiting flows",
                "shadow runs",
                "failures",
                "footprint",
            ]
            self._print_table([heads, *(_row(one) for one in shown)])
            if figures.monolith_is_needed:
                self.stdout.write(f"The monolith's own worker: {_worker(figures.monolith)}.")
            self._show_backlog(shown)
            if context is not None:
                self._show_evidence(known[context])
                self.stdout.write("\n" + "\n".join(known[context].footprint.said))

    def _show_evidence(self, one: Context) -> None:
        if (both := one.sides) is not None:
            self.stdout.write(f"\nSince {times.shown(both.since)}:")
            for name, side in (("live", both.live), ("inline", both.inline)):
                self.stdout.write(f"  {name:<6}  {_side(side)}")
        for each in one.disagreements:
            about = ", ".join(name for _, name in each.examples)
            self.stdout.write(f"  {each.number} × {each.workflow}, {each.what}: in {about}")

    def _show_backlog(self, shown: Sequence[Context]) -> None:
        for one in shown:
            if one.need_worker:
                self.stdout.write(f"{len(one.need_worker)} flows still need the {one.name} worker.")
            if one.return_at:
                self.stdout.write(
                    f"{one.name} goes back to inline by itself at {one.return_at} failing messages of its live flows."
                )
        unserved = [one.name for one in shown if not one.has_worker]
        for queue, depth in backlog.without_consumer(unserved).items():
            waits = (
                "nobody knows how many messages wait: the broker does not tell"
                if depth is None
                else f"{depth} messages wait"
            )
            self.stdout.write(f"In the queue of {queue}, which has no consumer, {waits}.")

    def _show_history(self, context: str | None, *, as_json: bool) -> None:
        changes = ModeChange.objects.all() if context is None else ModeChange.objects.filter(context=context)
        if as_json:
            self.say_json([model_to_dict(change) for change in changes])
        for change in () if as_json else changes:
            self.stdout.write(
                f"{times.shown(change.changed_at)}  {change}  by {change.changed_by}: {change.why}"
            )
            for said in change.against:
                self.stdout.write(f"  although: {said}")

    def _print_table(self, rows: Sequence[Sequence[str]]) -> None:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            self.stdout.write("  ".join(cells).rstrip())


def _side(side: Side) -> str:
    times_taken = ", ".join(
        f"{name} {'unknown' if seconds is None else f'{seconds:.3f} s'}"
        for name, seconds in (("p50", side.p50), ("p95", side.p95))
    )
    ended = "unknown how many" if side.ended is None else str(side.ended)
    return f"{side.flows} flows, {side.failing} failing messages, {times_taken}, {ended} have reached a final state"


def _row(context: Context) -> list[str]:
    flows = context.in_flight
    changed = context.changed
    return [
        context.name,
        str(context.setting),
        f"{times.shown(changed.at)} by {changed.by}" if changed else "the beginning",
        _worker(context.worker),
        f"{flows.inline} inline, {flows.shadow} shadow, {flows.live} live"
        if flows
        else "in its own database",
        _shadow(context.shadow),
        _failures(context.failures),
        context.footprint.figures,
    ]


def _failures(failures: Failures) -> str:
    recent = ", ".join(f"{number} {status}" for status, number in failures.by_status) or "none"
    return f"{recent}, {failures.earlier} earlier" if failures.earlier else recent


def _worker(worker: Worker | None) -> str:
    if worker is None:
        return "never seen"
    since = f"since {times.shown(worker.seen_at)}"
    if worker.stopped:
        return f"stopped on {worker.host} {since}"
    return f"not seen on {worker.host} {since}" if worker.stale else f"running on {worker.host}"


def _shadow(shadow: Shadow | None) -> str:
    if shadow is None or not shadow.compared:
        return "none"
    means = f"{shadow.legacy_milliseconds:.0f} + {shadow.shadow_milliseconds:.0f} ms"
    return f"{shadow.compared} compared, {shadow.not_agreed} not agreed, {means}"
