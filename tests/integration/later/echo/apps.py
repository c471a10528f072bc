from django.apps import AppConfig


class EchoConfig(AppConfig):
    name = "tests.integration.later.echo"
    label = "echo"
