"""Erasing among the dead letters: a message at the broker cannot be changed, so it is dropped, or kept and told."""

from microworkflows import topology
from microworkflows.dead_letters import Letter, opened
from microworkflows.erasing.work import Work
from microworkflows.errors import BrokerUnavailableError


def erase(work: Work) -> None:
    """Drop the dead letters about the objects if ``although`` is given; else note them as kept."""

    def is_about(letter: Letter) -> bool:
        subject = letter.subject
        return subject is not None and str(subject) in wanted

    wanted = {str(subject) for subject in work.subjects}
    try:
        with opened() as dead_letters:
            for queue in topology.queues():
                name = topology.dead_letter_name(queue)
                found = dead_letters.find(queue, is_about, most=0)
                work.found += len(found.letters)
                done: list[Letter] = []
                if work.although and found.letters:
                    dead_letters.drop(queue, [letter.id for letter in found.letters], done)
                    work.erased["dead letters"] += len(done)
                for _ in range(len(found.letters) - len(done)):
                    work.keep(
                        "dead letters", f"in {name}", f"manage.py dead_letters {queue} --requeue or --drop"
                    )
    except BrokerUnavailableError as error:
        work.unknown.append(f"the dead letters, because the broker is away: {error}")
