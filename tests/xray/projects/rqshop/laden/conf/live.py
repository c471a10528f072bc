SECRET_KEY = "rq"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django_rq",
    "kasse.apps.KassenConfig",
    "lager",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "laden", "HOST": "db.invalid"}}
RQ_QUEUES = {"default": {"HOST": "redis.invalid", "PORT": 6379, "DB": 0}}
ROOT_URLCONF = "laden.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
