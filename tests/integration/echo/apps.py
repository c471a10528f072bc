from django.apps import AppConfig


class EchoConfig(AppConfig):
    name = "tests.integration.echo"
    label = "echo"
