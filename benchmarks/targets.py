"""What the figures are to reach: each target is one row, evaluated to met, missed or not measured."""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.results import Results

OURS = "microworkflows"
OUR_TIMERS = f"{OURS}, a timer, from the time due"
OURS_OF_TWO = f"{OURS}, two workers"
"""The order process on one machine: two workers, of two contexts each."""
OURS_IN_ONE_TRIP = f"{OURS_OF_TWO}, in one trip"
"""The same, recording in one trip."""
OURS_OF_TWO_SERVERS = f"{OURS_OF_TWO}, two database servers"
"""The same, each pair of contexts with a PostgreSQL of its own."""
MONOLITH = "synchronous monolith"
CHAIN = "Celery chain with delay_on_commit"
POSTGRES, SECOND_POSTGRES = "PostgreSQL", "second PostgreSQL"
"""Parts that an order's processor time goes to."""
AT_ONCE, PATIENT = "at once", "50 ms"
"""How long the payment gateway takes."""
CEILING = "ceiling: "
"""Begins the name of a subject that is no product: what the machine could do at best."""

Figure = Callable[[Results], float | None]
_HOLDS = {"≥": operator.ge, ">": operator.gt, "≤": operator.le}


class Verdict(StrEnum):
    """What came of a target."""

    MET = "met"
    MISSED = "missed"
    NOT_MEASURED = "not measured"
    NO_TARGET = "no target"


@dataclass(frozen=True, kw_only=True)
class Target:
    """One figure and its bound (such as "≥ 6"), or no bound for what is only told."""

    of: str
    words: str
    figure: Figure
    unit: str = ""
    bound: str = ""
    headline: bool = False
    """It is told in the README too."""

    def verdict(self, figure: float | None) -> Verdict:
        """Tell what came of it."""
        if figure is None:
            return Verdict.NOT_MEASURED
        if not self.bound:
            return Verdict.NO_TARGET
        holds, _, limit = self.bound.partition(" ")
        return Verdict.MET if _HOLDS[holds](figure, float(limit)) else Verdict.MISSED


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A target, what was measured, and what came of it."""

    target: Target
    figure: float | None
    verdict: Verdict


def evaluate(results: Results) -> list[Outcome]:
    """Hold the results against every target."""
    figures = [(target, target.figure(results)) for target in TARGETS]
    return [
        Outcome(target=target, figure=figure, verdict=target.verdict(figure)) for target, figure in figures
    ]


def is_ours(subject: str) -> bool:
    """Tell whether a subject is this kit, in any of its set-ups."""
    return subject.partition(",")[0] == OURS


def is_ceiling(subject: str) -> bool:
    """Tell whether a subject is what the machine could do at best."""
    return subject.startswith(CEILING)


def peers(results: Results, measurement: str, **labels: str) -> list[str]:
    """Return who else was measured."""
    return [
        subject
        for subject in results.subjects(measurement, **labels)
        if not is_ours(subject) and not is_ceiling(subject)
    ]


# Figures


def _median(measurement: str, subject: str, metric: str, **labels: str | int) -> Figure:
    return lambda results: results.median(measurement, subject, metric, **labels)


def _ratio(above: Figure, below: Figure) -> Figure:
    def ratio(results: Results) -> float | None:
        numerator, denominator = above(results), below(results)
        return numerator / denominator if numerator is not None and denominator else None

    return ratio


def _of_peers(
    choose: Callable[[Iterable[float]], float], measurement: str, metric: str, **labels: str
) -> Figure:
    """Return the figure of the best peer, where ``choose`` says what is best: the most or the least."""

    def best(results: Results) -> float | None:
        medians = [
            median
            for subject in peers(results, measurement, **labels)
            if (median := results.median(measurement, subject, metric)) is not None
        ]
        return choose(medians) if medians else None

    return best


def _total(measurement: str, subject: str, *metrics: str) -> Figure:
    def total(results: Results) -> float | None:
        values = [value for metric in metrics for value in results.values(measurement, subject, metric)]
        return sum(values) if values else None

    return total


def _flatness(measurement: str, subject: str, metric: str, label: str) -> Figure:
    """Return the slowest over the fastest of a label's values; there have to be two."""

    def flatness(results: Results) -> float | None:
        medians = [
            results.median(measurement, subject, metric, **{label: value})
            for value in results.labels(measurement, subject, metric, label)
        ]
        known = [median for median in medians if median is not None]
        return min(known) / max(known) if len(known) > 1 else None

    return flatness


# Targets

_RELAY = _median("relay", OURS, "events/s")


def _hop(subject: str, processes: int) -> Figure:
    return _median("hop", subject, "events/s", processes=processes)


def _orders_over(
    rival: str, *, words: str, ours: str = OURS, bound: str = "", headline: bool = False
) -> Target:
    return Target(
        of="Order process",
        words=words,
        figure=_ratio(_median("orders", ours, "orders/s"), _median("orders", rival, "orders/s")),
        unit="×",
        bound=bound,
        headline=headline,
    )


def _orders(words: str, rival: str, *, headline: bool = False) -> list[Target]:
    """Ahead of a rival in orders/s, and in the time that half of the orders take."""
    return [
        _orders_over(rival, words=f"orders/s, over {words}", bound="> 1", headline=headline),
        Target(
            of="Order process",
            words=f"p50 of {words}, over ours",
            figure=_ratio(_median("orders", rival, "p50, ms"), _median("orders", OURS, "p50, ms")),
            unit="×",
            bound="> 1",
        ),
    ]


TARGETS = [
    Target(
        of="Relay",
        words="events/s, over the best peer whose broker confirms",
        figure=_ratio(_RELAY, _of_peers(max, "relay", "events/s", confirmed="yes")),
        unit="×",
        bound="≥ 7",
        headline=True,
    ),
    Target(
        of="Relay",
        words="events/s, over the best peer without confirms",
        figure=_ratio(_RELAY, _of_peers(max, "relay", "events/s", confirmed="no")),
        unit="×",
        bound="≥ 5",
    ),
    Target(
        of="Relay",
        words="events/s, over bare py-amqp with pipelined confirms, which is all that the client can do",
        figure=_ratio(_RELAY, _median("relay", "ceiling: py-amqp, pipelined confirms", "events/s")),
        unit="×",
        bound="≥ 0.85",
    ),
    Target(
        of="Relay",
        words="events lost, doubled or out of order, counted in the queue",
        figure=_total("relay", OURS, "lost", "doubled", "out of order"),
        bound="≤ 0",
    ),
    Target(
        of="Relay",
        words="events/s of two contexts together, over one",
        figure=_ratio(_median("relay", "microworkflows, two contexts", "events/s"), _RELAY),
        unit="×",
    ),
    Target(
        of="Relay",
        words="events/s while others are recorded, over those of a relay left alone",
        figure=_ratio(_median("relay", "microworkflows, while recording", "events/s"), _RELAY),
        unit="×",
    ),
    *(
        Target(
            of="Latency",
            words=f"{metric.partition(',')[0]} from commit to {where}",
            figure=_median("latency", subject, metric),
            unit="ms",
            bound=bound,
            headline=(where, metric) == ("handler", "p50, ms"),
        )
        for subject, where, metric, bound in (
            (OURS, "queue", "p50, ms", "≤ 3"),
            (OURS, "queue", "p99, ms", "≤ 8"),
            ("microworkflows, to the handler", "handler", "p50, ms", "≤ 10"),
            ("microworkflows, to the handler", "handler", "p99, ms", "≤ 30"),
        )
    ),
    Target(
        of="Latency",
        words="p99 of a timer, from the time due to the queue",
        figure=_median("latency", OUR_TIMERS, "p99, ms"),
        unit="ms",
        bound="≤ 1000",
    ),
    Target(
        of="Latency",
        words="timers that came early",
        figure=_total("latency", OUR_TIMERS, "early"),
        bound="≤ 0",
    ),
    *(
        Target(
            of="Latency",
            words=f"{metric.partition(',')[0]} of the best peer, over ours",
            figure=_ratio(_of_peers(min, "latency", metric), _median("latency", OURS, metric)),
            unit="×",
            bound="> 1",
        )
        for metric in ("p50, ms", "p99, ms")
    ),
    *(
        Target(
            of="Hop",
            words=f"events/s with {processes} {'process' if processes == 1 else 'processes'},"
            " over a bare Celery task that writes the same",
            figure=_ratio(_hop(OURS, processes), _hop("bare Celery task", processes)),
            unit="×",
            bound="≥ 0.8",
            headline=processes == 2,
        )
        for processes in (1, 2, 4)
    ),
    *(
        Target(
            of="Hop",
            words=f"events/s with {processes} processes, over one",
            figure=_ratio(_hop(OURS, processes), _hop(OURS, 1)),
            unit="×",
        )
        for processes in (2, 4)
    ),
    *_orders("a Celery chain", CHAIN, headline=True),
    *_orders("django-outbox-pattern", "django-outbox-pattern 3.2.1, publish/subscribe"),
    _orders_over(
        MONOLITH,
        words="orders/s, over the synchronous monolith: the price of breaking apart",
        bound="≥ 1",
        headline=True,
    ),
    *(
        _orders_over(
            MONOLITH,
            words=f"orders/s with {words}, over the synchronous monolith",
            ours=ours,
            bound="≥ 1.5",
        )
        for ours, words in (
            (OURS_OF_TWO, "two workers"),
            (OURS_IN_ONE_TRIP, "two workers, recording in one trip"),
        )
    ),
    _orders_over(
        f"{CHAIN}, two workers",
        words="orders/s with two workers, over a Celery chain with two",
        ours=OURS_OF_TWO,
        bound="≥ 1.5",
    ),
    *(
        Target(
            of="Order process",
            words=f"processor time of an order{words}, servers included, over the synchronous monolith's",
            figure=_ratio(
                _median("orders", ours, "CPU, ms/order"),
                _median("orders", MONOLITH, "CPU, ms/order"),
            ),
            unit="×",
            bound=bound,
        )
        for ours, words, bound in (
            (OURS, "", ""),
            (OURS_OF_TWO, " with two workers", "≤ 1.3"),
            (OURS_IN_ONE_TRIP, " with two workers, recording in one trip", "≤ 1.3"),
        )
    ),
    *(
        Target(
            of="Several customers",
            words=f"orders/s of four customers with {words}, over the synchronous monolith",
            figure=_ratio(
                _median("customers", ours, "orders/s", gateway=gateway),
                _median("customers", MONOLITH, "orders/s", gateway=gateway),
            ),
            unit="×",
            bound="≥ 1",
        )
        for ours, gateway, words in (
            (OURS, AT_ONCE, "four workers"),
            (OURS_OF_TWO, AT_ONCE, "two workers"),
            (OURS_OF_TWO, PATIENT, "two workers and a gateway that takes 50 ms"),
        )
    ),
    Target(
        of="Several customers",
        words="how long a customer of the monolith waits, over one of ours, with a gateway that takes 50 ms",
        figure=_ratio(
            _median("customers", MONOLITH, "customer waits, ms", gateway=PATIENT),
            _median("customers", OURS_OF_TWO, "customer waits, ms", gateway=PATIENT),
        ),
        unit="×",
        bound="> 1",
    ),
    *(
        Target(
            of="Recording",
            words=words,
            figure=_median("recording", subject, "added, %"),
            unit="%",
            bound="≤ 12",
            headline=subject == "an event",
        )
        for subject, words in (
            ("an event", "what an event adds to the transaction that places an order"),
            ("an event, in one trip", "what it adds in one trip"),
        )
    ),
    Target(
        of="Growth",
        words="relay: the slowest over the fastest, with 0 to 5 million finished rows",
        figure=_flatness("growth", "relay", "events/s", "finished"),
        bound="≥ 0.9",
    ),
    Target(
        of="Growth",
        words="hop: the slowest over the fastest, with 0 to 5 million finished rows",
        figure=_flatness("growth", "hop", "events/s", "finished"),
        bound="≥ 0.95",
    ),
    Target(
        of="Growth",
        words="backlog of a million: the rate of its last tenth over that of its first",
        figure=_median("growth", "backlog", "last/first"),
        bound="≥ 0.9",
    ),
    Target(
        of="Growth",
        words="relay while a million rows are purged, over one left alone",
        figure=_median("growth", "purge", "ratio"),
        bound="≥ 0.9",
    ),
    *(
        Target(
            of="Growth",
            words=f"by how much the memory of a {process} grew",
            figure=_median("growth", "memory", f"{process} growth, %"),
            unit="%",
        )
        for process in ("relay", "worker")
    ),
    Target(
        of="Faults",
        words="events lost, in all the peers' faults together",
        figure=_total("faults", OURS, "lost"),
        bound="≤ 0",
    ),
    Target(
        of="Faults",
        words="events in the queue twice, which the inbox drops",
        figure=_total("faults", OURS, "doubled"),
    ),
]
