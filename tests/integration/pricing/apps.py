from django.apps import AppConfig


class PricingConfig(AppConfig):
    name = "tests.integration.pricing"
    label = "pricing"
