from __future__ import annotations

from tests.xray import looking


def edited(how: str) -> set[tuple[str, str]]:
    return {
        (each.table, each.verb)
        for each in looking.look("brokenurls").accesses
        if each.how == how and each.place.app == "beds"
    }


def test_an_admin_edits_its_table_as_far_as_it_permits() -> None:
    assert edited("admin") >= {("beds_bed", "read"), ("beds_bed", "insert"), ("beds_bed", "update")}
    assert ("beds_bed", "delete") not in edited("admin")


def test_an_inline_edits_the_table_of_another_app_as_far_as_it_offers() -> None:
    assert edited("admin inline") == {
        *(("meals_meal", verb) for verb in ("read", "insert", "update")),
        *(("linen_sheet", verb) for verb in ("read", "update", "delete")),
    }


def test_what_a_hook_saves_is_told_of_the_hook_alone() -> None:
    found = {
        (each.place.function.rpartition("beds.admin.")[2], each.table, each.verb)
        for each in looking.look("brokenurls").accesses
        if "PillowAdmin" in each.place.function and each.verb != "read"
    }

    assert found == {
        ("PillowAdmin.save_model", "beds_pillow", "insert"),
        ("PillowAdmin.save_model", "beds_pillow", "update"),
        ("PillowAdmin", "beds_pillow", "delete"),
        ("PillowAdmin", "beds_pillow_beds", "insert"),
        ("PillowAdmin", "beds_pillow_beds", "delete"),
    }


def test_a_project_without_admin_has_none_and_no_gap() -> None:
    static = looking.look("noadmin")

    assert not [each for each in static.accesses if each.how.startswith("admin")]
    assert not static.gaps
