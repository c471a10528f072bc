"""Stages on a copy of the shop without servers: what the X-ray foresees, what shadow misses, what the shop's own tests find."""

import re
from collections.abc import Sequence

from migrations_guide.oscar.shops import Shop
from migrations_guide.oscar.telling import expect, tell

_FACTS = ("--facts", "xray-facts.json")
_FORESEEN = {
    "oversell": r"^.*strategy.py.*select_stockrecord reads partner_stockrecord.*$|^.*purchase_info reads.*$",
    "leak": r"^.*cancel_allocation updates num_allocated.*$",
}
CONTEXTS = ("warehouse", "analytics_events")


def look(shop: Shop) -> None:
    """Look at the code, and find the seam and who else is at its rows."""
    said = _xray(
        shop, "look", "--settings", "shop.settings", "--also", "oscar", "--output", "xray-facts.json"
    )
    tell("look", *said.strip().splitlines()[-1:])
    seams = _xray(shop, "seams", "handle_order_placement", *_FACTS)
    tell("seams", seams.splitlines()[0])
    for seam in (_seam(seams), *re.findall(r"^place-order-receive-order-placed-\w+$", seams, re.MULTILINE)):
        tell("", seam)
    footprint = _xray(shop, "footprint", "--columns", "partner_stockrecord.num_allocated", *_FACTS)
    tell("footprint", *re.findall(r"^Other (?:writers|readers): .*$", footprint, re.MULTILINE))
    for fault, pattern in _FORESEEN.items():
        found = re.search(pattern, footprint, re.MULTILINE)
        expect(found, f"The footprint does not foresee the {fault}:\n{footprint}")
        tell(fault, found[0].strip() if found else "")


def announce(shop: Shop, *, tests: Sequence[str]) -> None:
    """Write the seam's code, take the edits over, and see that the tests pass inline."""
    seams = _xray(shop, "seams", "handle_order_placement", *_FACTS)
    said = _xray(shop, "scaffold", _seam(seams), "--output", ".", *_FACTS)
    files = [line.split()[0] for line in said.splitlines() if ".py" in line and not line.startswith("With")]
    tell("scaffold", f"{len(files)} files, {said.count('TODO')} with something to decide")
    settings = ("--ds", "microworkflows_settings", "-W", "ignore")
    said = shop.python(
        "-m", "pytest", "-p", "pytest_django.plugin", *settings, "partner_events/test_line_placed.py"
    )
    expect("1 passed" in said, f"What was scaffolded does not run inline and once:\n{said}")
    tell("", "the test among them is green: the event runs the old code, inline and once")
    shop.take_over("announced")
    shop.variables["DJANGO_SETTINGS_MODULE"] = "microworkflows_settings"
    report = shop.suite("inline", "partner_events", tests=tests)
    expect("inline.json holds" in report, report)
    tell("inline", *_facts(report))


def suspect(shop: Shop, *, tests: Sequence[str]) -> None:
    """See that shadow and live find nothing, and that withheld and the unplugged run do."""
    for mode in ("shadow", "live"):
        report = shop.suite(mode, "partner_events", tests=tests)
        expect("Nothing is new against the baseline." in report, f"{mode} finds something:\n{report}")
        tell(mode, *_facts(report))
    report = shop.suite("withheld", "partner_events", tests=tests)
    for name in ("last_piece_is_sold_once", "cancelled_gives_back_its_own_pieces"):
        expect(name in report, f"Nobody fails as {name}:\n{report}")
    tell("withheld", *_facts(report))
    said = _unplug(shop, "partner_events", tests)
    update = re.search(r"^ +(\S+:\d+ +update +partner_stockrecord .*)$", said, re.MULTILINE)
    expect(update, f"Unplugging does not name the write to the empty table:\n{said}")
    tell(
        "unplug",
        *re.findall(r"^partner_events: \d+ places.*$", said, re.MULTILINE),
        update[1] if update else "",
    )


def prove(shop: Shop, *, tests: Sequence[str]) -> None:
    """See that the mended shop passes in each mode, and that its warehouse is apart."""
    shop.variables["DJANGO_SETTINGS_MODULE"] = "microworkflows_settings"
    for mode in ("inline", "withheld", "live"):
        report = shop.suite(mode, *CONTEXTS, tests=tests)
        expect(mode == "inline" or "Nothing is new" in report, f"{mode} finds something:\n{report}")
        tell(mode, *_facts(report))
    said = _unplug(shop, "warehouse", tests)
    expect("warehouse is apart from the others" in said, said)
    tell("unplug", *re.findall(r"^warehouse is apart.*?(?= Noted)", said, re.MULTILINE))


def _xray(shop: Shop, *arguments: str) -> str:
    return shop.python("-m", "microworkflows_xray", *arguments)


def _seam(seams: str) -> str:
    (seam,) = re.findall(r"^update-stock-records-allocate-\w+$", seams, re.MULTILINE)
    return str(seam)


def _unplug(shop: Shop, context: str, tests: Sequence[str]) -> str:
    options = ("-p", "pytest_django.plugin", "--tb=no", "-q", "-W", "ignore")
    return shop.manage("unplug", context, "--", *options, *tests, may_fail=True)


def _facts(report: str) -> list[str]:
    """Return the lines of a suite's report, without what pytest says beside it."""
    lines = report.partition("\n")[2].partition("====")[0].splitlines()
    return [line for line in lines if line and not re.match(r"\d+ (passed|failed)|FAILED", line)]
