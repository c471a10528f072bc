from __future__ import annotations

from tests.xray import looking


def signals(project: str) -> set[tuple[str, str, str, str]]:
    return {(each.signal, each.role, each.sender, each.function) for each in looking.look(project).signals}


def tasks(project: str, role: str) -> set[tuple[str, str]]:
    return {(each.name, each.library) for each in looking.look(project).tasks if each.role == role}


def test_receivers_that_are_connected_and_places_that_send_are_found() -> None:
    assert signals("rqshop") == {
        ("django.db.models.signals.post_save", "receiver", "lager.Ware", "kasse.receivers.preis_pruefen"),
        ("kasse.signals.bezahlt", "receiver", "", "kasse.receivers.zaehlen"),
        ("kasse.signals.bezahlt", "sender", "till.Bon", "kasse.views.bon"),
    }


def test_a_receiver_that_the_code_would_connect_later_is_found_too() -> None:
    assert signals("nocelery") == {
        (
            "django.db.models.signals.post_delete",
            "receiver",
            "trains.Train",
            "station.platforms.models.Board.wipe",
        ),
        (
            "django.db.models.signals.post_delete",
            "receiver",
            "trains.Train",
            "station.platforms.models.Platform.empty",
        ),
    }


def test_jobs_of_rq_are_found_without_rq() -> None:
    assert tasks("rqshop", "task") == {("lager.jobs.nachbestellen", "rq")}
    assert tasks("rqshop", "enqueued") == {("lager.jobs.nachbestellen", "rq"), ("lager.jobs.inventur", "rq")}


def test_tasks_of_each_library_are_found_without_any_of_them() -> None:
    work = "station.trains.work"

    assert tasks("nocelery", "task") == {
        (f"{work}.announce", "django-background-tasks"),
        (f"{work}.depart", "django-tasks"),
        (f"{work}.look_out", "apscheduler"),
        (f"{work}.ring", "huey"),
        (f"{work}.whistle", "huey"),
        ("brake-now", "dramatiq"),
        ("clean", "procrastinate"),
    }


def test_places_that_enqueue_are_found_for_each_library() -> None:
    work = "station.trains.work"
    found = {
        each.place.line: (each.name, each.library)
        for each in looking.look("nocelery").tasks
        if each.role == "enqueued"
    }

    assert [task for _, task in sorted(found.items())] == [
        (f"{work}.depart", "django-tasks"),
        (f"{work}.depart", "django-tasks"),
        ("brake-now", "dramatiq"),
        (f"{work}.whistle", "huey"),
        (f"{work}.ring", "huey"),
        (f"{work}.announce", "django-background-tasks"),
        ("clean", "procrastinate"),
        (f"{work}.polish", "apscheduler"),
        (f"{work}.polish", "django-q"),
    ]
