from collections.abc import Callable

import pytest

from benchmarks.results import Results
from benchmarks.targets import TARGETS, Outcome, Verdict, evaluate

Add = Callable[..., None]


def test_without_figures_no_target_is_met_or_missed(results: Results) -> None:
    assert {outcome.verdict for outcome in evaluate(results)} == {Verdict.NOT_MEASURED}


@pytest.mark.parametrize(("ours", "verdict"), [(14_000, Verdict.MET), (13_999, Verdict.MISSED)])
def test_relay_is_held_against_the_best_peer_that_confirms(
    results: Results, add: Add, ours: float, verdict: Verdict
) -> None:
    add("relay", "microworkflows", "events/s", ours, confirmed="yes")
    add("relay", "microworkflows, two contexts", "events/s", 30_000, confirmed="yes")
    add("relay", "ceiling: py-amqp, pipelined confirms", "events/s", 20_000, confirmed="yes")
    add("relay", "slow peer", "events/s", 500, confirmed="yes")
    add("relay", "fast peer", "events/s", 2_000, confirmed="yes")
    add("relay", "careless peer", "events/s", 9_000, confirmed="no")

    outcome = _outcome(results, "events/s, over the best peer whose broker confirms")

    assert outcome.figure == ours / 2_000
    assert outcome.verdict is verdict


def test_latency_is_held_against_the_quickest_peer(results: Results, add: Add) -> None:
    for subject, p99 in [("microworkflows", 4), ("a peer", 6), ("another", 3), ("ceiling: NOTIFY", 0.1)]:
        add("latency", subject, "p99, ms", p99)

    assert _outcome(results, "p99 from commit to queue").verdict is Verdict.MET
    assert _outcome(results, "p99 of the best peer, over ours").verdict is Verdict.MISSED


def test_growth_is_the_slowest_over_the_fastest(results: Results, add: Add) -> None:
    words = "relay: the slowest over the fastest, with 0 to 5 million finished rows"
    add("growth", "relay", "events/s", 1000, finished=0)
    assert _outcome(results, words).verdict is Verdict.NOT_MEASURED

    add("growth", "relay", "events/s", 850, finished=100_000)
    add("growth", "relay", "events/s", 950, finished=1_000_000)

    assert _outcome(results, words).figure == 0.85
    assert _outcome(results, words).verdict is Verdict.MISSED


def test_one_lost_event_in_any_fault_misses_the_target(results: Results, add: Add) -> None:
    words = "events lost, in all the peers' faults together"
    add("faults", "microworkflows", "lost", 0, fault="full queue")
    assert _outcome(results, words).verdict is Verdict.MET

    add("faults", "microworkflows", "lost", 1, fault="broker killed")

    assert _outcome(results, words).verdict is Verdict.MISSED


def test_price_of_breaking_apart_is_held_against_the_monolith(results: Results, add: Add) -> None:
    add("orders", "microworkflows", "orders/s", 50)
    add("orders", "synchronous monolith", "orders/s", 200)

    outcome = _outcome(results, "orders/s, over the synchronous monolith: the price of breaking apart")

    assert (outcome.figure, outcome.verdict) == (0.25, Verdict.MISSED)


def test_every_target_is_told_apart_by_its_words() -> None:
    assert len({target.words for target in TARGETS}) == len(TARGETS)


def _outcome(results: Results, words: str) -> Outcome:
    (outcome,) = (outcome for outcome in evaluate(results) if outcome.target.words == words)
    return outcome
