from django.apps import AppConfig
from django.db import connection


class SluiceConfig(AppConfig):
    name = "mill.sluice"

    def ready(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
