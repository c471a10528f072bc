from django.apps import AppConfig


class ProbeConfig(AppConfig):
    name = "tests.integration.probe"
    label = "probe"
