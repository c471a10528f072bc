"""What the demo shows: orders on their way as a live table, or one line for each change where there is no terminal."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self

from django.utils import timezone
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from microworkflows.journeys import Delivery, DeliveryStatus, RelayStatus, Step, human_duration
from project.demo.orders import End, Placed
from project.demo.preparation import Shop

_WIDE = 100
_COLOURS = {
    End.SHIPPED: "green",
    End.DECLINED: "magenta",
    End.OUT_OF_STOCK: "yellow",
}


class Screen(Protocol):
    """Shows orders while they travel."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End; what was shown stays."""

    def show(self, placed: Sequence[Placed], *, changed: Sequence[Placed]) -> None:
        """Show them as they are now."""


def screen(console: Console, *, total: int) -> Screen:
    """Return what suits the terminal, or the lack of one."""
    if console.is_terminal and not console.is_dumb_terminal:
        return _Table(console, total)
    return _Lines(console, total)


class _Table:
    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, traceback)

    def show(self, placed: Sequence[Placed], *, changed: Sequence[Placed]) -> None:
        self._live.update(Group(_table(placed, self._console.width), self._bar(placed)), refresh=True)

    def _bar(self, placed: Sequence[Placed]) -> Table:
        settled = sum(one.settled for one in placed)
        line = Table.grid(padding=(0, 1))
        done = settled == self._total
        bar = ProgressBar(
            total=self._total, completed=settled, width=30, complete_style="cyan", finished_style="green"
        )
        line.add_row("", bar, Text(f"{settled} of {self._total} settled", "bold green" if done else "bold"))
        return line


def _table(placed: Sequence[Placed], width: int) -> Table:
    wide = width >= _WIDE
    table = Table(box=None, padding=(0, 2 if wide else 1, 0, 0), header_style="dim", expand=True)
    table.add_column("Order", no_wrap=True, min_width=8)
    if wide:
        table.add_column("Customer", no_wrap=True, min_width=18)
    table.add_column("Expected", no_wrap=True, min_width=16, style="dim")
    table.add_column("State", no_wrap=True, min_width=18)
    table.add_column("Journey", no_wrap=True, ratio=1)
    table.add_column("Time", no_wrap=True, justify="right", min_width=7)
    for one in placed:
        order = [one.order.number, one.wish.customer] if wide else [one.order.number]
        table.add_row(*order, one.expected, _state(one), _hops(one), Text(_seconds(one.took), "dim"))
    return table


def _state(one: Placed) -> Text:
    if one.settled and not one.as_expected:
        return Text(f"✗ {one.state}", "bold red")
    if one.end is None:
        return Text(f"… {one.state}", "cyan")
    return Text(f"{'✓' if one.settled else '…'} {one.state}", _COLOURS[one.end])


def _hops(one: Placed) -> Text:
    """A dot for each event, the latest by name; or what is being tried again."""
    text = Text(overflow="ellipsis")
    for step in one.journey.steps:
        text.append(
            "●" if not step.open else "○", "red" if step.failed else "green" if not step.open else "cyan"
        )
    if retry := one.retrying:
        text.append(f" {_retry(retry)}", "yellow")
    elif one.latest:
        text.append(f" {one.latest.name}")
    return text


def _retry(delivery: Delivery) -> str:
    again = "now"
    if delivery.due_at and (left := math.ceil((delivery.due_at - timezone.now()).total_seconds())) > 0:
        again = f"in {left} s"
    return f"{delivery.label.rpartition('.')[2]} failed {delivery.attempts}×, again {again}"


class _Lines:
    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._last: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def show(self, placed: Sequence[Placed], *, changed: Sequence[Placed]) -> None:
        settled = sum(one.settled for one in placed)
        for one in changed:
            line = self._line(one)
            # A journey also changes with each delivery; a line is for what a reader would call news.
            if self._last.get(one.order.number) != line:
                self._last[one.order.number] = line
                after = _seconds(one.moved_at - one.placed_at)
                count = f"  [{settled} of {self._total} settled]" if one.settled else ""
                self._console.print(f"{line}  +{after}{count}", markup=False, highlight=False, soft_wrap=True)

    def _line(self, one: Placed) -> str:
        if one.settled:
            news = "settled" if one.as_expected else f"settled, but expected was: {one.expected}"
        elif retry := one.retrying:
            news = f"{retry.label} failed {retry.attempts}×, tries again"
        else:
            news = one.latest.name if one.latest else "placed"
        return f"{one.order.number}  {one.wish.customer:<18}  {one.state:<16}  {news}"


def say(console: Console, text: str, style: str = "") -> None:
    """Print a sentence."""
    console.print(text, style=style or None, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def summarize(console: Console, placed: Sequence[Placed], *, found: Sequence[str]) -> None:
    """Print what became of the orders, and what is wrong if anything is."""
    ends = Counter(one.state for one in placed)
    counts = ", ".join(f"{number} {state}" for state, number in ends.most_common())
    console.print()
    if not found:
        say(console, f"✓ {len(placed)} orders, each ended as it must: {counts}.", "bold green")
        return
    say(console, f"✗ {len(placed)} orders: {counts}. Not as it must be:", "bold red")
    for problem in found:
        say(console, f"  {problem}", "red")


def tell_journey(console: Console, one: Placed) -> None:
    """Print the journey of one order, hop by hop."""
    journey = one.journey
    duration = human_duration(journey.duration or timedelta())
    console.print()
    heading = Text.assemble(
        (f"The journey of {one.order.number}", "bold"),
        f" ({one.wish.customer}): {len(journey.steps)} events, {journey.handled} deliveries, {duration}",
    )
    console.print(heading)
    width = max((len(delivery.label) for delivery in journey.deliveries), default=0)
    for step in journey.steps:
        began = step.recorded_at - journey.steps[0].recorded_at
        console.print(
            Text.assemble(
                (f"  {human_duration(began):>8}  ", "cyan"),
                (step.name, "bold"),
                (f"  {_origin(step)}", "dim"),
            )
        )
        for delivery in step.deliveries:
            console.print(_received(delivery, width=width))


def _origin(step: Step) -> str:
    by = f"recorded by {step.emitted_by}"
    return by if step.relay.status is RelayStatus.RELAYED else f"{by}, {step.relay.status}"


def _received(delivery: Delivery, *, width: int) -> Text:
    signs = {DeliveryStatus.HANDLED: ("✓", "green"), DeliveryStatus.PARKED: ("✗", "red")}
    sign, style = signs.get(delivery.status, ("…", "yellow"))
    how: str = delivery.status
    if delivery.status is DeliveryStatus.HANDLED:
        how = f"attempt {delivery.attempts + 1}" if delivery.attempts else ""
    wait = f"{human_duration(delivery.wait)} later" if delivery.wait is not None else ""
    return Text.assemble(
        " " * 12,
        (f"{sign} ", style),
        f"{delivery.label:<{width}}  ",
        (f"{wait:<14}", "dim"),
        (f"{how}", "yellow"),
    )


def invite(console: Console, *, url: str, shop: Shop, logs: str) -> None:
    """Print how to log in, and how to end."""
    table = Table.grid(padding=(0, 2))
    table.add_row("admin", Text(url, "bold cyan underline"))
    table.add_row("user", Text(shop.user, "bold"))
    table.add_row("password", Text(shop.password or "the one that you gave it", "bold"))
    table.add_row("logs", Text(logs))
    table.add_row("", Text("Ctrl-C ends everything.", "dim"))
    console.print()
    console.print(
        Panel(table, title="The shop is open", title_align="left", border_style="green", expand=False)
    )


def _seconds(duration: timedelta) -> str:
    return f"{max(duration.total_seconds(), 0):.1f} s"
