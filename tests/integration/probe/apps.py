import gc

from django.apps import AppConfig


class ProbeConfig(AppConfig):
    name = "tests.integration.probe"
    label = "probe"

    def ready(self) -> None:
        from tests.integration.probe import listening, punctual

        listening.connect()
        punctual.declare()
        gc.enable()
