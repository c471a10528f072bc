import socket

from django.apps import AppConfig


class KassenConfig(AppConfig):
    name = "kasse"
    label = "till"

    def ready(self):
        from . import receivers  # noqa: F401

        socket.create_connection(("redis.invalid", 6379), timeout=300)
