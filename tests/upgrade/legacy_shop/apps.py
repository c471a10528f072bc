from django.apps import AppConfig


class LegacyShopConfig(AppConfig):
    name = "tests.upgrade.legacy_shop"
