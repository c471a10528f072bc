"""Erasing: the personal data that flows about an object left behind, in the kit's tables and among the dead letters.

What somebody still has to handle stays and is told, unless it is given up. Ids stay as well, so that a duplicate is known.
"""

from collections.abc import Sequence

from microworkflows import flows, registry, times
from microworkflows.erasing import letters, messages
from microworkflows.erasing.work import Report, Work
from microworkflows.flows import Kept
from microworkflows.models import Erasure
from microworkflows.subjects import Subject

__all__ = ["Kept", "Report", "erase"]


def erase(subjects: Sequence[Subject], *, by: str, why: str, although: bool = False) -> Report:
    """Erase the fields declared as :data:`~microworkflows.Personal` from all that is about some objects, and kept errors with them.

    It may be repeated: what is erased stays as it is. Rows are changed a few at a time, and none that somebody holds.

    Args:
        subjects: The objects.
        by: Name of the person.
        why: The reason, for the history.
        although: True to erase also what is unheard, rejected, waiting, parked or a dead letter: nobody can handle it then.

    Returns:
        What was erased, and what was kept and why.

    Raises:
        ValueError: there is no reason.
    """
    if not why.strip():
        raise ValueError("An erasure is kept on record: give the reason for it.")
    work = Work(subjects=tuple(subjects), at=times.now(), by=by, why=why, although=although)
    messages.erase_outbox(work)
    messages.erase_inbox(work)
    letters.erase(work)
    told = flows.Erasing(
        subjects=work.subjects,
        events=frozenset(work.events),
        correlation_ids=frozenset(work.correlation_ids),
        at=times.aware(work.at),
        although=although,
    )
    for what, number in flows.erase(told).items():
        work.erased[what] += number
    for each in flows.kept(told):
        work.kept[each.what, each.why, each.remedy] += each.number
    work.contexts |= flows.contexts_of(told)
    elsewhere = (work.contexts - set(registry.contexts())) | set(flows.router.contexts_elsewhere())
    report = work.report(elsewhere=sorted(elsewhere))
    Erasure.objects.bulk_create(
        Erasure(
            kind=subject.kind,
            key=subject.key,
            at=work.at,
            by=by,
            why=why,
            erased=sum(report.erased.values()),
            kept=sum(each.number for each in report.kept),
        )
        for subject in subjects
    )
    return report
