SECRET_KEY = "x"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "kiosk.stock",
    "kiosk.till",
    "shop.papers.apps.PapersConfig",
    "shop.sweets",
    "shop.parcels",
    "shop.staff",
]
AUTH_USER_MODEL = "staff.Clerk"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
