from django.apps import AppConfig


class ReportsConfig(AppConfig):
    name = "tests.integration.bridging.reports"
    label = "reports"
