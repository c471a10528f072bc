"""A small project of one's own, with an admin, on SQLite and the embedded broker; it knows nothing of the shop."""

import os
import subprocess
from pathlib import Path

SETTINGS = """
from pathlib import Path

BASE_DIR = Path(__file__).parent.parent
SECRET_KEY = "of a test"
DEBUG = True
INSTALLED_APPS = ["django_outbox_pattern", "microworkflows", "django.contrib.contenttypes", "django.contrib.auth"]
INSTALLED_APPS += ["django.contrib.messages", "django.contrib.sessions", "django.contrib.admin"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "inn.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20}
USE_TZ = True
EVENTS_WORKER_CONCURRENCY = 1
EVENTS_WORKER_ENABLE_REMOTE_CONTROL = False
EVENTS_BROKER_URL = f"embedded://{BASE_DIR / 'broker'}"
"""
FILES = {
    "manage.py": """
import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "inn.settings")
execute_from_command_line(sys.argv)
""",
    "inn/__init__.py": "from inn.celery import app\n",
    "inn/celery.py": """
from celery import Celery
from microworkflows import worker

app = Celery("inn")
app.config_from_object("django.conf:settings", namespace="EVENTS")
worker.setup(app)
""",
    "inn/urls.py": """
from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
""",
}


class Project:
    """A project of one's own in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in {"inn/settings.py": SETTINGS, **FILES}.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)

    def install(self, *modules: str) -> None:
        with (self.folder / "inn/settings.py").open("a") as settings:
            settings.write(f"INSTALLED_APPS += {[*modules]}\n")

    @property
    def environment(self) -> dict[str, str]:
        """What its processes get of this run's own, and its settings."""
        kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
        return {**kept, "DJANGO_SETTINGS_MODULE": "inn.settings", "PYTHONPATH": str(self.folder)}

    def run(self, *command: str) -> str:
        ended = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr
