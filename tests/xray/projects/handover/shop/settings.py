"""A shop whose orders hand over to its stock in three ways: a call, a template method, and a signal."""

SECRET_KEY = "for-tests-only"
INSTALLED_APPS = ["shop.orders", "shop.stock.apps.StockConfig"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ORDER_CREATOR = "shop.stock.creators.StockOrderCreator"
USE_TZ = True
