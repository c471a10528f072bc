from benchmarks.results import Failure, Results, Sample


def test_median_is_of_the_samples_that_have_the_labels() -> None:
    results = Results()
    for number, (value, processes) in enumerate([(10, 1), (30, 1), (20, 1), (99, 2)]):
        results.add(_rate(value, round=number, processes=processes))

    assert results.median("hop", "ours", "events/s", processes=1) == 20
    assert results.median("hop", "ours", "events/s") == 25
    assert results.median("hop", "ours", "events/s", processes=4) is None
    assert results.values("hop", "ours", "events/s", processes=2) == [99]
    assert results.labels("hop", "ours", "events/s", "processes") == [1, 2]
    assert (results.subjects("hop"), results.subjects("relay"), results.rounds("hop")) == (["ours"], [], 4)


def test_json_brings_back_samples_and_failures() -> None:
    results = Results()
    results.add(_rate(12.5, round=2, processes=4))
    results.fail("relay", "a peer", "it said “no”\nand ended")

    again = Results.from_json(results.to_json(facts={"cores": 2}))

    assert again.samples == results.samples
    assert again.failures == [
        Failure(measurement="relay", subject="a peer", reason="it said “no”\nand ended")
    ]


def _rate(value: float, *, round: int, processes: int) -> Sample:  # noqa: A002
    return Sample(
        measurement="hop",
        subject="ours",
        metric="events/s",
        value=value,
        round=round,
        labels={"processes": processes},
    )
