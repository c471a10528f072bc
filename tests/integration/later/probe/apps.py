import gc

from django.apps import AppConfig


class ProbeConfig(AppConfig):
    name = "tests.integration.later.probe"
    label = "probe"

    def ready(self) -> None:
        gc.enable()
