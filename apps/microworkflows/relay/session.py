"""The relay's database session: its settings, and the limits after which either side takes a silent other for gone.

Without them, TCP waits a quarter of an hour for a machine that fell off the network; PostgreSQL keeps its session, and
with it the lead of its context, as long.
"""

from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows.relay import leadership

_CONNECT_SECONDS = 5
_IDLE_SECONDS, _PROBE_SECONDS, _PROBES = 5, 2, 3
_UNACKNOWLEDGED_MILLISECONDS = 10_000


def prepare(connection: BaseDatabaseWrapper) -> None:
    """Give this thread's connection the client's limits and a name that other relays see; call it before it opens.

    The project's own ``OPTIONS`` overrule the limits; they stay as they are for all other connections. A pool of
    connections is left out, because the lead belongs to one session, which must end with the relay.
    """
    if connection.vendor != "postgresql":
        return
    limits = {
        "connect_timeout": _CONNECT_SECONDS,
        "keepalives_idle": _IDLE_SECONDS,
        "keepalives_interval": _PROBE_SECONDS,
        "keepalives_count": _PROBES,
        "tcp_user_timeout": _UNACKNOWLEDGED_MILLISECONDS,
    }
    options = {**limits, **connection.settings_dict["OPTIONS"]}
    options["application_name"] = f"{leadership.ROLE}{leadership.own_name()}"
    options.pop("pool", None)
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}


def set_up(connection: BaseDatabaseWrapper) -> None:
    """Set the server's side of the limits, and commit without waiting until marks are on disk.

    If a crash of the server loses a mark, the event is sent once more, as after any crash of the relay. In return,
    transactions that record events wait less for the disk.
    """
    if connection.vendor != "postgresql":
        return
    settings = {
        "synchronous_commit": "off",
        "tcp_keepalives_idle": _IDLE_SECONDS,
        "tcp_keepalives_interval": _PROBE_SECONDS,
        "tcp_keepalives_count": _PROBES,
        "tcp_user_timeout": _UNACKNOWLEDGED_MILLISECONDS,
    }
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET {name} TO {value}" for name, value in settings.items()))
