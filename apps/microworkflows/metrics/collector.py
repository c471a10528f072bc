"""The metrics for Prometheus' client library: a collector, which reads the system each time that it is asked."""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from microworkflows.metrics.catalog import BUCKETS, METRICS, Kind, Metric
from microworkflows.metrics.samples import Sample
from microworkflows.metrics.scrape import SECONDS, scrape


class MicroworkflowsCollector(Collector):
    """Reads tables, heartbeats and broker when it is asked, and keeps nothing: register it once in a registry.

    Args:
        seconds: Longest time that it takes.
    """

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def describe(self) -> Iterable[Family]:
        """Return nothing: to be registered, it need not read anything."""
        return []

    def collect(self) -> Iterator[Family]:
        """Yield each metric of which something is known."""
        samples: dict[Metric, list[Sample]] = {metric: [] for metric in METRICS}
        for sample in scrape(seconds=self._seconds):
            samples[sample.metric].append(sample)
        return (_family(metric, known) for metric, known in samples.items() if known)


def _family(metric: Metric, samples: Iterable[Sample]) -> Family:
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for sample in samples:
            bounds = [*map(str, BUCKETS), "+Inf"]
            buckets = list(zip(bounds, map(float, accumulate(sample.buckets)), strict=True))
            histogram.add_metric(sample.labels, buckets, sample.value)
        return histogram
    make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=metric.labels)
    for sample in samples:
        family.add_metric(sample.labels, sample.value)
    return family
