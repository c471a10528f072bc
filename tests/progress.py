"""Progress of a run: tells how much of it is done, and how long the rest will take; longest files first.

The seconds that each test took are kept in pytest's cache. For a test that is not in there, ``seconds.json`` has those of each
long test and the mean of each file's others; it also decides the order, which is the same in each process of a run.
``python -m tests.progress`` writes it anew from the cache.
"""

import json
import time
from collections import defaultdict
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("seconds.json")
UNKNOWN = 0.5
"""Seconds of a test in a file that is new."""

_LONG = 5.0
"""Seconds of a test that the mean of its file would not do justice to."""

_EVERY = 10.0
_KEY = "progress/seconds"


class Expectation:
    """The seconds that tests take: from the last run, else what is known of a long test, else the mean of their file."""

    def __init__(self, last: dict[str, float], known: dict[str, float]) -> None:
        self._last = last
        self._known = known

    def seconds(self, nodeid: str) -> float:
        """Return those of a test."""
        of_file = self._known.get(nodeid.partition("::")[0], UNKNOWN)
        return self._last.get(nodeid) or self._known.get(nodeid, of_file)


class Progress:
    """How far a run is, in seconds of work: what is left takes as long as what was done took."""

    def __init__(self, work: dict[str, float], *, now: float) -> None:
        """Begin.

        Args:
            work: The expected seconds of each test.
            now: Any clock's seconds.
        """
        self._left = dict(work)
        self._all = sum(work.values())
        self._began = now

    def done(self, nodeid: str) -> None:
        """Count a test as done."""
        self._left.pop(nodeid, None)

    def told(self, *, now: float) -> str:
        """Return it as people read it."""
        left = sum(self._left.values())
        done = self._all - left
        if not done or not self._left:
            return ""
        seconds = (now - self._began) / done * left
        return f"{done / self._all:.0%} done, about {in_words(seconds)} left"


def in_words(seconds: float) -> str:
    """Return a duration, rounded to what an estimate is worth."""
    if seconds < 60:
        return f"{max(round(seconds / 5), 1) * 5} s"
    if seconds >= 600:
        return f"{round(seconds / 60)} min"
    return "{} min {} s".format(*divmod(round(seconds / 10) * 10, 60))


class Plugin:
    """Tells the progress in the process that sums up, and keeps what the tests took."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._expected = expectation(config)
        self._took: dict[str, float] = defaultdict(float)
        self._progress: Progress | None = None
        self._told_at = time.monotonic()

    def begin(self, nodeids: list[str]) -> None:
        """Begin with the tests that were collected."""
        work = {nodeid: self._expected.seconds(nodeid) for nodeid in nodeids}
        self._progress = Progress(work, now=time.monotonic())

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Begin, where the tests run in this process."""
        if session.items:
            self.begin([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Begin, where they run in others; each collects all."""
        if self._progress is None:
            self.begin(list(ids))

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count what is done, and tell it from time to time."""
        self._took[report.nodeid] += report.duration
        if report.when != "teardown" or self._progress is None:
            return
        self._progress.done(report.nodeid)
        now = time.monotonic()
        if now - self._told_at >= _EVERY and (told := self._progress.told(now=now)):
            self._told_at = now
            terminal = self._config.pluginmanager.get_plugin("terminalreporter")
            if terminal is not None:
                terminal.write(f"  {told}\n")

    def pytest_sessionfinish(self) -> None:
        """Keep what the tests took."""
        kept = self._config.cache.get(_KEY, {})
        took = {nodeid: round(seconds, 2) for nodeid, seconds in self._took.items()}
        self._config.cache.set(_KEY, kept | took)


def expectation(config: pytest.Config) -> Expectation:
    """Return what is known of the tests' seconds."""
    return Expectation(config.cache.get(_KEY, {}), json.loads(FILE.read_text()))


def known(took: dict[str, float]) -> dict[str, float]:
    """Return the seconds of each long test, and the mean of each file's others."""
    long = {nodeid: round(seconds, 1) for nodeid, seconds in took.items() if seconds >= _LONG}
    by_file: dict[str, list[float]] = defaultdict(list)
    for nodeid in took.keys() - long.keys():
        by_file[nodeid.partition("::")[0]].append(took[nodeid])
    means = {file: round(sum(all_) / len(all_), 3) for file, all_ in by_file.items()}
    return dict(sorted((means | long).items()))


def longest_first(items: list[pytest.Item]) -> None:
    """Sort tests by the time that their files take in all; a file's own tests stay in their order."""
    expected = Expectation({}, json.loads(FILE.read_text()))
    total: dict[Path, float] = defaultdict(float)
    for item in items:
        total[item.path] += expected.seconds(item.nodeid)
    items.sort(key=lambda item: (-total[item.path], str(item.path)))


if __name__ == "__main__":
    kept = Path(__file__).resolve().parents[1] / "var/pytest/v" / _KEY
    FILE.write_text(json.dumps(known(json.loads(kept.read_text())), indent=1) + "\n")
