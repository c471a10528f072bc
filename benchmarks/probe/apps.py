"""The Django app that is measured."""

from django.apps import AppConfig


class ProbeConfig(AppConfig):
    """Context ``probe``."""

    name = "benchmarks.probe"
    label = "probe"
