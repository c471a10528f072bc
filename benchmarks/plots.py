"""Draws the figures: a few pictures for the page, each only where there is something to show."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.results import Label, Results
from benchmarks.targets import CEILING, is_ceiling, is_ours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by everybody, in print too (the palette of Okabe and Ito).
OURS, SECOND, OTHERS, INK, FAINT = "#0072B2", "#D55E00", "#AEB6BF", "#24292F", "#8C959F"
WIDTH, DPI = 8.8, 160
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "ytick.left": False,
    "grid.color": "#E4E8EC",
    "figure.constrained_layout.h_pad": 0.12,
    "figure.constrained_layout.w_pad": 0.12,
    "hatch.color": FAINT,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture: what it belongs to, what it says to who cannot see it, and who draws it."""

    name: str
    measurement: str
    alt: str
    shows: Callable[[Results], bool]
    draw: Callable[[Results], "Figure"]


def pictures(results: Results) -> list[Picture]:
    """Return those for which there are figures."""
    return [picture for picture in PICTURES if picture.shows(results)]


def write(results: Results, folder: Path) -> list[Path]:
    """Draw what there are figures for, into a folder in which nothing else stays."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    written = []
    for picture in pictures(results):
        with mpl.rc_context(STYLE):
            path = folder / f"{picture.name}.png"
            # Without matplotlib's version in it: the same figures make the same file.
            picture.draw(results).savefig(path, dpi=DPI, metadata={"Software": None})
            written.append(path)
    return written


# Relay


def _relay(results: Results) -> "Figure":
    subjects = _ranked(results, "relay", "events/s")
    figure, axes = _figure(height=1.1 + 0.42 * len(subjects))
    _bars(axes, results, "relay", "events/s", subjects)
    if any(is_ceiling(subject) for subject in subjects):
        axes.annotate(
            "hatched: what the client alone\ncould send, with no outbox",
            (1, 0.04),
            xycoords="axes fraction",
            ha="right",
            style="italic",
        )
    axes.set_title("Relay: committed events brought to the broker, per second")
    return figure


# Latency


def _latency(results: Results) -> "Figure":
    from matplotlib.ticker import FuncFormatter, NullFormatter

    subjects = list(reversed(_ranked(results, "latency", "p50, ms", best=min)))
    figure, axes = _figure(height=1.5 + 0.42 * len(subjects))
    for place, subject in enumerate(subjects):
        half, most = (results.median("latency", subject, metric) for metric in ("p50, ms", "p99, ms"))
        if half is None or most is None:
            continue
        colour = _colour(subject)
        axes.plot([half, most], [place, place], color=colour, linewidth=3, solid_capstyle="round", zorder=2)
        axes.plot(half, place, "o", color=colour, markersize=8, zorder=3)
        axes.plot(most, place, "o", color="white", markeredgecolor=colour, markeredgewidth=2, markersize=8)
        for value, aside, align in ((half, -9, "right"), (most, 9, "left")):
            _note(axes, _short(value), (value, place), aside=aside, align=align, subject=subject)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low / 2, high * 2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g} ms"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)
    axes.grid(axis="x")
    _names(axes, subjects)
    axes.set_title("Latency from commit: half of the events (●), 99 of 100 (○), in ms")
    return figure


# Order process


def _orders(results: Results) -> "Figure":
    subjects = _ranked(results, "orders", "orders/s")
    figure, (rate, time) = _figure(height=1.2 + 0.5 * len(subjects), columns=2)
    _bars(rate, results, "orders", "orders/s", subjects)
    rate.set_title("Orders per second")
    _bars(time, results, "orders", "p50, ms", subjects)
    time.set_title("ms until half of them are done")
    time.set_yticklabels([])
    return figure


# Hop


def _hop(results: Results) -> "Figure":
    subjects = results.subjects("hop", processes=1)
    processes = results.labels("hop", subjects[0], "events/s", "processes")
    figure, axes = _figure(height=3.6)
    share = 0.76 / len(subjects)
    for number, subject in enumerate(subjects):
        places = [place - 0.38 + share * (number + 0.5) for place in range(len(processes))]
        medians, spread = _medians(results, "hop", subject, "events/s", label="processes", among=processes)
        colour = _colour(subject)
        axes.bar(places, medians, share * 0.94, color=colour, label=subject)
        axes.errorbar(places, medians, spread, fmt="none", ecolor=INK, elinewidth=1)
        for place, value, most in zip(places, medians, spread[1], strict=True):
            axes.annotate(
                f"{value:,.0f}", (place, value + most), (0, 4), textcoords="offset points", ha="center"
            )
    axes.set_xticks(
        range(len(processes)),
        [f"{count} {'process' if count == 1 else 'processes'}" for count in processes],
    )
    axes.tick_params(axis="x", length=0)
    axes.set_yticks([])
    axes.legend(loc="upper left")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.2)
    axes.set_title("A hop: events handled per second, by the worker's processes")
    return figure


# Growth


def _growth(results: Results) -> "Figure":
    figure, axes = _figure(height=3.4)
    sizes: list[Label] = []
    for subject, colour, marker in (("relay", OURS, "o"), ("hop", SECOND, "s")):
        if not (found := results.labels("growth", subject, "events/s", "finished")):
            continue
        sizes = sorted(found, key=int)
        medians, spread = _medians(results, "growth", subject, "events/s", label="finished", among=sizes)
        percent = [100 * value / medians[0] for value in medians]
        bars = [[100 * value / medians[0] for value in side] for side in spread]
        axes.errorbar(
            range(len(sizes)),
            percent,
            bars,
            color=colour,
            marker=marker,
            linewidth=2.2,
            elinewidth=1,
            markersize=7,
            label=f"{subject}: {medians[0]:,.0f} events/s with none",
        )
    axes.axhspan(90, 110, color="#EDF4F9", zorder=0)
    axes.set_xticks(range(len(sizes)), [_rows(int(size)) for size in sizes])
    axes.set_xlim(-0.25, len(sizes) - 0.75)
    axes.set_xlabel("finished rows in outbox and inbox")
    axes.set_ylim(0, 125)
    axes.set_yticks([0, 50, 90, 100, 110], ["0 %", "50 %", "90 %", "100 %", "110 %"])
    axes.legend(loc="lower left")
    axes.set_title("Growth: the rate as finished rows pile up, against the rate with none")
    return figure


def _backlog(results: Results) -> "Figure":
    from matplotlib.ticker import FuncFormatter

    seconds = sorted(results.labels("growth", "backlog", "events/s", "second"), key=int)
    medians, _ = _medians(results, "growth", "backlog", "events/s", label="second", among=seconds)
    figure, axes = _figure(height=3)
    axes.plot([int(second) for second in seconds], medians, color=OURS, linewidth=2)
    axes.set_ylim(0, max(medians) * 1.15)
    axes.set_xlim(0, int(seconds[-1]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f} s"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis="y")
    axes.set_title("A backlog drains: events relayed per second, from first to last")
    return figure


# What they share


def _figure(*, height: float, columns: int = 1) -> tuple["Figure", Any]:
    """Return a figure that no state of matplotlib's keeps, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(1, columns)


def _ranked(
    results: Results, measurement: str, metric: str, *, best: Callable[[float, float], float] = max
) -> list[str]:
    """Return the subjects that have this figure, the best one first."""
    known = {
        subject: median
        for subject in results.subjects(measurement)
        if (median := results.median(measurement, subject, metric)) is not None
    }
    return sorted(known, key=lambda subject: known[subject], reverse=best is max)


def _bars(axes: "Axes", results: Results, measurement: str, metric: str, subjects: Sequence[str]) -> None:
    """Draw one bar for each subject, the first on top, with the least and the most of its rounds."""
    upwards = list(reversed(subjects))
    for place, subject in enumerate(upwards):
        values = results.values(measurement, subject, metric)
        if not values:
            continue
        value = results.median(measurement, subject, metric) or 0.0
        ceiling = is_ceiling(subject)
        axes.barh(
            place,
            value,
            height=0.66,
            color="white" if ceiling else _colour(subject),
            edgecolor=FAINT if ceiling else _colour(subject),
            hatch="////" if ceiling else None,
            linewidth=0.8,
        )
        axes.plot([min(values), max(values)], [place, place], color=INK, linewidth=1)
        _note(axes, _short(value), (max(values), place), aside=6, align="left", subject=subject)
    unsure = results.subjects(measurement, confirmed="no")
    _names(axes, upwards, notes=dict.fromkeys(unsure, " (no\u00a0confirms)"))
    axes.set_xlim(0, axes.get_xlim()[1] * 1.1)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def _names(axes: "Axes", subjects: Sequence[str], *, notes: Mapping[str, str] | None = None) -> None:
    """Write the subjects beside their places, ours in bold, with a note where there is one."""
    names = [subject.removeprefix(CEILING) + (notes or {}).get(subject, "") for subject in subjects]
    axes.set_yticks(range(len(names)), ["\n".join(textwrap.wrap(name, 34)) for name in names])
    for label, subject in zip(axes.get_yticklabels(), subjects, strict=True):
        label.set_fontweight("bold" if is_ours(subject) else "normal")
        label.set_fontstyle("italic" if is_ceiling(subject) else "normal")
    axes.set_ylim(-0.6, len(subjects) - 0.4)


def _note(
    axes: "Axes", text: str, at: tuple[float, float], *, aside: float, align: str, subject: str
) -> None:
    """Write a value beside its mark."""
    axes.annotate(
        text,
        at,
        (aside, 0),
        textcoords="offset points",
        ha=align,
        va="center",
        fontweight="bold" if is_ours(subject) else "normal",
    )


def _medians(
    results: Results, measurement: str, subject: str, metric: str, *, label: str, among: Sequence[Label]
) -> tuple[list[float], tuple[list[float], list[float]]]:
    """Return the medians for a label's values, and how far down and up the rounds spread from them."""
    medians, down, up = [], [], []
    for value in among:
        median = results.median(measurement, subject, metric, **{label: value}) or 0.0
        values = results.values(measurement, subject, metric, **{label: value}) or [0.0]
        medians.append(median)
        down.append(median - min(values))
        up.append(max(values) - median)
    return medians, (down, up)


def _colour(subject: str) -> str:
    if is_ceiling(subject):
        return FAINT
    return OURS if is_ours(subject) else OTHERS


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.{3 if value >= 1 else 2}g}"


def _rows(count: int) -> str:
    """Return a number of rows in short: 100 k, 5 M."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:g} {unit}"
    return "none" if count == 0 else str(count)


def _has(measurement: str, metric: str) -> Callable[[Results], bool]:
    return lambda results: any(
        results.median(measurement, subject, metric) is not None for subject in results.subjects(measurement)
    )


PICTURES = [
    Picture(
        name="relay",
        measurement="relay",
        alt="Bars: events per second of each relay, and of what the client could do at best",
        shows=_has("relay", "events/s"),
        draw=_relay,
    ),
    Picture(
        name="latency",
        measurement="latency",
        alt="For each relay the time from commit that half of the events take, and 99 of 100",
        shows=_has("latency", "p50, ms"),
        draw=_latency,
    ),
    Picture(
        name="hop",
        measurement="hop",
        alt="Bars: events handled per second with one, two and four processes, beside a bare Celery task",
        shows=lambda results: bool(results.subjects("hop", processes=1)),
        draw=_hop,
    ),
    Picture(
        name="orders",
        measurement="orders",
        alt="Bars: orders per second, and the time that half of the orders take",
        shows=_has("orders", "orders/s"),
        draw=_orders,
    ),
    Picture(
        name="growth",
        measurement="growth",
        alt="Lines: the rate of relay and hop with more and more finished rows",
        shows=lambda results: bool(
            results.labels("growth", "relay", "events/s", "finished")
            or results.labels("growth", "hop", "events/s", "finished")
        ),
        draw=_growth,
    ),
    Picture(
        name="backlog",
        measurement="growth",
        alt="Line: events relayed per second while a backlog drains",
        shows=lambda results: len(results.labels("growth", "backlog", "events/s", "second")) > 1,
        draw=_backlog,
    ),
]
