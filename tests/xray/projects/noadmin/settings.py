SECRET_KEY = "none"
INSTALLED_APPS = ["django.contrib.contenttypes", "herbarium", "labels2go", "herbarium.loans"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "never.sqlite3"}}
