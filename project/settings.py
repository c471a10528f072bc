"""Settings of the shop, from the environment; with none set it runs on SQLite and the embedded broker, in ``var/``.

``SERVICE=payments`` makes them the settings of that app alone: a service with its own database, admin and worker.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from project import service

BASE_DIR = Path(__file__).resolve().parent.parent


def _text(name: str, default: str = "") -> str:
    # Compose files and Makefiles pass an unset variable on as an empty one.
    return os.environ.get(name, "").strip() or default


def _flag(name: str, default: str = "0") -> bool:
    value = _text(name, default).lower()
    if value not in {"0", "1", "false", "true", "no", "yes", "off", "on"}:
        raise ImproperlyConfigured(f"{name} is {value!r}; set it to 1 or 0.")
    return value in {"1", "true", "yes", "on"}


def _number(name: str, default: int) -> int:
    value = _text(name, str(default))
    if not value.isdecimal() or int(value) < 1:
        raise ImproperlyConfigured(f"{name} is {value!r}; set it to a whole number above 0.")
    return int(value)


def _names(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in _text(name, default).split(",") if part.strip()]


def _pairs(name: str) -> dict[str, str]:
    pairs = [pair.partition("=")[::2] for pair in _names(name)]
    if not all(key and value for key, value in pairs):
        raise ImproperlyConfigured(
            f"{name} is {_text(name)!r}; set it to pairs such as orders=user,payments=user."
        )
    return dict(pairs)


def _make_private(folder: Path) -> None:
    """Make a folder into which nobody else may look, and those above it; what exists keeps its mode."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(0o700, exist_ok=True)


def _made_once(path: Path) -> str:
    """Return a secret of this machine; of several processes that make it at once, one wins."""
    if not path.exists():
        _make_private(path.parent)
        made = path.with_name(f".{path.name}-{os.getpid()}")
        made.touch(mode=0o600)
        try:
            with made.open("w") as file:
                file.write(secrets.token_urlsafe(50))
                file.flush()
                os.fsync(file.fileno())  # else a power cut might leave it empty
            with contextlib.suppress(FileExistsError):
                os.link(made, path)
        finally:
            made.unlink()
    return path.read_text()


# One app as a service of its own, or empty: the whole shop in one project.
SERVICE = service.name()

# Run-time state: database, broker and logs of the embedded default. Services on one machine share its broker alone.
_SHARED_DIR = Path(_text("VAR_DIR", str(BASE_DIR / "var"))).resolve()
VAR_DIR = _SHARED_DIR / SERVICE
if not _text("DATABASE_URL"):
    _make_private(VAR_DIR)
    if not (VAR_DIR / "db.sqlite3").exists():
        (VAR_DIR / "db.sqlite3").touch(0o600)  # SQLite would let everybody read it

# Off unless asked for: DEBUG shows settings and source to whoever meets an error page.
# `make demo` and a developer's shell set DEBUG=1.
DEBUG = _flag("DEBUG")

SECRET_KEY = _text("SECRET_KEY")
if not SECRET_KEY:
    if _text("DATABASE_URL") and not DEBUG:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set. It signs sessions, so in production it must be a long random text that only"
            " the servers know: set SECRET_KEY. On a developer's machine set DEBUG=1 instead."
        )
    SECRET_KEY = _made_once(VAR_DIR / "secret_key")

ALLOWED_HOSTS = _names("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = _names("CSRF_TRUSTED_ORIGINS")

# HTTPS=1: a proxy in front ends TLS and sets X-Forwarded-Proto itself.
if _flag("HTTPS"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

if SERVICE:
    # Browsers send cookies to every port of a host: who logs in to one service must stay logged in to the others.
    SESSION_COOKIE_NAME = f"{SERVICE}_sessionid"
    CSRF_COOKIE_NAME = f"{SERVICE}_csrftoken"

INSTALLED_APPS = [
    "project",
    *([SERVICE] if SERVICE else service.CONTEXTS),
    "django_outbox_pattern",
    "microworkflows",
    "microworkflows.journal",
    "microworkflows.metrics",
    "microworkflows.problems",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "microworkflows.middleware.trace_context",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = "project.formats"


# Database: connections are kept, and one that the server closed meanwhile is replaced.
DATABASES = {
    "default": dj_database_url.parse(
        _text("DATABASE_URL", f"sqlite:///{VAR_DIR / 'db.sqlite3'}"),
        conn_max_age=600,
        conn_health_checks=True,
    )
}
if _flag("ONE_TRIP") and DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["ENGINE"] = "microworkflows.postgresql"  # docs/howto/one-trip.md
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Web and workers share the file. IMMEDIATE takes the write lock at the start of a transaction, where waiting
    # for it works; a transaction that first reads and then writes would fail at once with "database is locked".
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,  # seconds
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",  # what is committed survives a power cut
    }
elif _flag("PREPARE", default="1"):
    # PostgreSQL plans a statement once for each connection, not each time. Some poolers do not cope: docs/howto/poolers.md.
    DATABASES["default"]["OPTIONS"] = {
        **DATABASES["default"].get("OPTIONS", {}),
        "server_side_binding": True,
        "prepare_threshold": 5,  # times
    }


# The kit. Where each service has a user of its own at the broker, each is believed as itself alone.
MICROWORKFLOWS: dict[str, Any] = {"USERS": _pairs("BROKER_USERS"), "PREFIX": _text("BROKER_PREFIX")}

# The journal of all services is where orders is, in one project or as a service of its own; the others only report to it.
MICROWORKFLOWS |= {
    "JOURNAL_COLLECTOR": _text("JOURNAL_COLLECTOR", "orders"),
    "JOURNAL_ADMIN_URL": _text("JOURNAL_ADMIN_URL"),
}


# Celery: what is unsafe to change is set by the kit, in microworkflows.worker.
BROKER_URL = _text("BROKER_URL", f"embedded://{_SHARED_DIR / 'broker'}")

CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TIMEZONE = TIME_ZONE
CELERY_WORKER_CONCURRENCY = _number("WORKER_CONCURRENCY", 2)
# `celery inspect` and `celery control` need a broker that can fan out a message.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = not BROKER_URL.startswith("embedded:")

if SERVICE:
    # All that Celery declares by itself bears the service's name, so that its user at the broker needs nothing else,
    # and no service can ask another's workers to stop.
    CELERY_CONTROL_EXCHANGE = f"{_text('BROKER_PREFIX')}{SERVICE}"  # payments.pidbox, reply.payments.pidbox
    CELERY_EVENT_EXCHANGE = CELERY_EVENT_QUEUE_PREFIX = f"{CELERY_CONTROL_EXCHANGE}.celeryev"
    # Other services hear what no app here does. If none does, the broker says so: the event is counted as unheard.
    SILENCED_SYSTEM_CHECKS = ["microworkflows.W021"]


# Static files: from the folder of `collectstatic` where it was run (the image), else straight from the apps.
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = not STATIC_ROOT.is_dir()
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}


LOG_LEVEL = _text("LOG_LEVEL", "INFO").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
    raise ImproperlyConfigured(
        f"LOG_LEVEL is {LOG_LEVEL!r}; set it to DEBUG, INFO, WARNING, ERROR or CRITICAL."
    )

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname:<7} {processName} {name}: {message}", "style": "{"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # Django's own handlers would print a record twice, or only with DEBUG on.
    "loggers": {
        "django": {"handlers": [], "level": "NOTSET", "propagate": True},
        "django.server": {"handlers": [], "level": "NOTSET", "propagate": True},
    },
}
