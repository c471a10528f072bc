"""The databases that contexts have of their own from stage 7 on: where they are, and making them."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from migrations_guide.engine.stages import Stage


def urls(stage: Stage, environment: Mapping[str, str], *, var: Path) -> dict[str, str]:
    """Return the URL of each database of one context, by app.

    Args:
        stage: It says which contexts have one.
        environment: ``PAYMENTS_DATABASE_URL`` and the like in it count; what it leaves out lies beside the database
            that ``DATABASE_URL`` names, its name with ``_payments`` added.
        var: Where the embedded default, which has a file for each, keeps its data.
    """
    found = {}
    for app in stage.databases:
        if main := environment.get("DATABASE_URL"):
            parts = urlsplit(main)
            default = urlunsplit(parts._replace(path=f"{parts.path}_{app}"))
        else:
            default = f"sqlite:///{var / app / 'db.sqlite3'}"
        found[app] = environment.get(variable(app)) or default
    return found


def variable(app: str) -> str:
    """Return the name of the variable that holds the URL of a context's own database."""
    return f"{app.upper()}_DATABASE_URL"


def make(url: str) -> None:
    """Make an empty database, unless it is there already."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        Path(parts.path[1:]).parent.mkdir(parents=True, exist_ok=True)
        return
    from project.processes import servers  # only here: the embedded default does without PostgreSQL's driver

    servers.make_database(url)
