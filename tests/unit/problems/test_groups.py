import json
import re
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from microworkflows.errors import PermanentError
from microworkflows.models import Header, HistoryEntry, InboxEvent
from microworkflows.problems import groups, replays
from microworkflows.problems.models import Problem
from tests.unit.problems.conftest import Fail


def test_many_messages_of_two_causes_are_two_problems(fail: Fail) -> None:
    torn = fail(PermanentError("torn"), 4)
    (inky,) = fail(ValueError("no ink"))

    found = groups.overview()

    assert (found.number, found.parked, found.waiting) == (2, 4, 1)
    first, second = found.groups
    assert (first.fingerprint, first.parked, first.waiting) == (torn[0].fingerprint, 4, 0)
    assert (second.fingerprint, second.parked, second.waiting) == (inky.fingerprint, 0, 1)
    assert (first.label, first.error) == ("desk.stamp_letter", "PermanentError: torn")
    assert [each.about for each in first.examples] == ["L-4", "L-3", "L-2"]
    assert first.last_at is not None
    assert first.first_at is not None
    assert first.first_at < first.last_at
    assert first.trend == (*(0,) * 23, 4)


def test_trend_counts_failed_attempts_by_the_hour_and_no_older_ones(fail: Fail) -> None:
    rows = fail(PermanentError("torn"), 3)
    this_hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    for row, hours in zip(rows, (0, 2, 30), strict=True):
        HistoryEntry.objects.filter(msg_id=row.msg_id).update(at=this_hour - timedelta(hours=hours))

    (problem,) = groups.overview().groups

    assert problem.trend == (*(0,) * 21, 1, 0, 1)
    assert problem.first_at == this_hour - timedelta(hours=30)


def test_problem_is_gone_once_its_messages_are_handled_or_dismissed(fail: Fail) -> None:
    (row,) = fail(PermanentError("torn"))
    InboxEvent.objects.parked().dismiss(by="clerk", why="no need")

    assert groups.overview().groups == ()
    assert groups.group(row.fingerprint or "") is None


def test_messages_that_failed_before_fingerprints_were_kept_are_one_problem(fail: Fail) -> None:
    for row in (*fail(PermanentError("torn")), *fail(KeyError("lost"))):
        row.headers = {key: value for key, value in row.headers.items() if key != Header.FINGERPRINT}
        row.save(update_fields=["headers"])

    (problem,) = groups.overview().groups

    assert (problem.fingerprint, problem.number, problem.first_at) == ("", 2, None)


def test_number_of_queries_does_not_grow_with_the_messages(
    fail: Fail, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    fail(PermanentError("torn"), 2)
    queries = 8  # the groups with and without fingerprint, the trends, assigned to, replays; examples, first and last of the one problem
    with django_assert_num_queries(queries):
        groups.overview()

    fail(PermanentError("torn"), 8)
    with django_assert_num_queries(queries):
        groups.overview()


def test_command_lists_problems_for_people_and_for_programs(
    fail: Fail, capsys: pytest.CaptureFixture[str]
) -> None:
    (torn,) = fail(PermanentError("torn"))
    Problem.objects.create(pk=torn.fingerprint or "", assigned_to="clerk", assigned_at=timezone.now())
    replays.begin(torn.fingerprint or "", by="clerk", per_second=5)

    call_command("problems")
    listed = capsys.readouterr().out.splitlines()
    call_command("problems", "desk", format="json")
    (told,) = json.loads(capsys.readouterr().out)
    call_command("problems", "archive")
    nothing = capsys.readouterr().out

    assert re.fullmatch(
        rf"{torn.fingerprint}  1 parked, 0 waiting, the last \S+ m?s old  desk\.stamp_letter  PermanentError: torn  assigned to clerk",
        listed[0],
    )
    assert listed[1] == "  replay by clerk: 0 of 1 settled"
    assert listed[2].startswith("1 problems, 1 parked and 0 waiting messages.")
    assert (told["fingerprint"], told["parked"], told["replay"]["to_come"]) == (torn.fingerprint, 1, 1)
    assert len(told["trend"]) == groups.HOURS
    assert nothing.startswith("0 problems")
