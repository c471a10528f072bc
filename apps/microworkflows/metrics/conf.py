"""The metrics' part of the dictionary ``MICROWORKFLOWS``."""

from microworkflows.conf import Section


class MetricsSettings(Section):
    """The settings of the metrics."""

    metrics_token: str = ""
    """Token that whoever scrapes `/metrics` must show (`Authorization: Bearer …`); empty: the page is open."""
