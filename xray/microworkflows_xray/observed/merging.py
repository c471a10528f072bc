"""Puts recordings together: of several processes, of tests and production, of several days."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from microworkflows_xray import facts
from microworkflows_xray.facts import Observed
from microworkflows_xray.observed.tally import Tally


def load_all(paths: Iterable[Path]) -> Observed:
    """Read recordings, and folders of them, and merge them.

    Raises:
        FactsError: there is none, or one cannot be read.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    if not files:
        raise facts.FactsError(
            "There is no recording. Name files that the recorder wrote, or the folder they are in."
        )
    return merge([facts.load(Observed, file) for file in files])


def merge(recordings: list[Observed]) -> Observed:
    """Merge recordings into one: counts are added, and what any of them saw was seen."""
    tally = Tally(bounded=False)
    for transaction in (transaction for recording in recordings for transaction in recording.transactions):
        tally.add(
            (transaction.kind, transaction.name, transaction.inside, transaction.atomic),
            count=transaction.count,
            accesses=transaction.accesses,
            writers=((writer.function, writer.tables) for writer in transaction.writers),
            on_commit=transaction.on_commit,
            network=transaction.network,
            lock_wait_seconds=transaction.lock_wait_seconds,
            seconds=transaction.seconds,
        )
    sources = sorted({recording.source for recording in recordings})
    units = sum(recording.units for recording in recordings)
    # The share of all requests that was recorded: each recording stands for units / sampled of them.
    stood_for = sum(recording.units / recording.sampled for recording in recordings if recording.sampled)
    return Observed(
        source=sources[0] if len(sources) == 1 else "both",
        sampled=round(units / stood_for, 6) if stood_for else 0.0,
        units=units,
        transactions=tally.transactions(),
        executed=tuple(sorted({name for recording in recordings for name in recording.executed})),
        gaps=tuple(
            sorted(
                {gap for recording in recordings for gap in recording.gaps},
                key=lambda gap: (gap.what, gap.why),
            )
        ),
        django=_joined(recording.django for recording in recordings),
        python=_joined(recording.python for recording in recordings),
        recorded_at=max(recording.recorded_at for recording in recordings),
    )


def _joined(versions: Iterable[str]) -> str:
    return ", ".join(sorted({version for version in versions if version}))
