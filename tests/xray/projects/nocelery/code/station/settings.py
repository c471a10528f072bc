SECRET_KEY = "x"
INSTALLED_APPS = ["station.trains", "station.platforms"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
