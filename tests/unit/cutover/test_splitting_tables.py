"""What a moved context leaves unfinished behind is deleted there: nobody else would do it a second time."""

from microworkflows.cutover.splitting import tables
from microworkflows.models import OutboxEvent


def test_timers_go_with_their_context() -> None:
    deletions = [each.as_string(None) for each in tables.unfinished("payments")]

    (outbox,) = (each for each in deletions if each.startswith('DELETE FROM "published"'))
    unsent = {OutboxEvent.Status.PENDING, OutboxEvent.Status.UNHEARD, OutboxEvent.Status.REJECTED}
    statuses = ", ".join(str(int(each)) for each in sorted({*unsent, OutboxEvent.Status.SCHEDULED}))
    assert f"status IN ({statuses})" in outbox
