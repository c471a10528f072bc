SECRET_KEY = "x"
ROOT_URLCONF = "conf.urls"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "wards.beds",
    "wards.meals",
    "wards.beds.linen",
    "bell",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
