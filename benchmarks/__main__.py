"""``python -m benchmarks``: measures the kit beside its peers, prints progress, and writes tables, pictures and JSON."""

import argparse
import importlib
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks import machine, report
from benchmarks.bench import Bench
from benchmarks.machine import Fact
from benchmarks.results import Results
from benchmarks.servers import Servers
from project.processes import watchdog
from project.processes.servers import MissingServerError

MEASUREMENTS = (
    *("relay", "latency", "hop", "journal", "traces", "orders", "customers", "recording"),
    *("faults", "scale", "growth"),
)
_PARTIAL = Path("var/bench")
"""Where the report of a run goes that did not measure everything at full length."""


def main() -> int:
    """Run the measurements that were asked for, and report."""
    options = _options()
    if options.redraw:
        _write(*report.read(report.DOCS / report.DATA), whole=True)
        return 0
    whole = not options.quick and options.only == list(MEASUREMENTS)
    folder = Path(tempfile.mkdtemp(prefix="microworkflows_bench_"))
    watchdog.remove(folder)
    try:
        with Servers(folder) as servers:
            facts = {
                "run": "full" if whole else "quick" if options.quick else "partial",
                **machine.facts(database_url=servers.postgres, broker_url=servers.broker),
                "load before": machine.load(),
            }
            bench = Bench(servers=servers, results=Results(), quick=options.quick, folder=folder)
            for name in options.only:
                bench.say(f"{name} …")
                measure = importlib.import_module(f"benchmarks.measurements.{name}").measure
                bench.attempt(name, "everything", partial(measure, bench))
                report.keep(bench.results, facts=facts, into=_PARTIAL)
            facts["load after"] = machine.load()
    except MissingServerError as error:
        print(f"{error}. The benchmarks need PostgreSQL and an installed RabbitMQ.", file=sys.stderr)
        return 2
    report.show(bench.results)
    if options.renew:
        _write(*report.renewed(bench.results, facts), whole=True)
    else:
        _write(bench.results, facts, whole=whole)
    if options.keep:
        print(f"logs: {folder}")
    else:
        bench.close()
    return 0


def _write(results: Results, facts: Mapping[str, Fact], *, whole: bool) -> None:
    report.write(results, facts=facts, into=report.DOCS if whole else _PARTIAL)
    if whole:
        report.write_headlines(results)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about eight minutes instead of over an hour")
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help=f"some of {','.join(MEASUREMENTS)}")
    parser.add_argument(
        "--renew",
        action="store_true",
        help="on the page, replace what --only names and leave the rest; on the same machine, at full length",
    )
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    parser.add_argument(
        "--redraw",
        action="store_true",
        help="write page and pictures anew from the figures of the last full run",
    )
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := sorted(set(options.only) - set(MEASUREMENTS)):
        parser.error(f"no such measurement: {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    if options.renew and options.quick:
        parser.error("a quick run's figures are rough: they renew nothing")
    return options


if __name__ == "__main__":
    sys.exit(main())
