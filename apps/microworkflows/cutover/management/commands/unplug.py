"""``manage.py unplug``: proves that contexts are apart from the others, as they must be before they get databases of their own."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows import registry
from microworkflows.cutover.unplugging import importing, proof, running
from microworkflows.cutover.unplugging.findings import Found
from microworkflows.cutover.unplugging.parties import Parties
from microworkflows.cutover.unplugging.proof import Proof
from microworkflows.errors import MicroworkflowsError
from microworkflows.management import naming
from microworkflows.management.base import KitCommand


class Command(KitCommand):
    help = (
        "Run the project's tests, or a scenario, with contexts live, and list every read, write and import across their "
        "borders. If nothing is left to mend, that is the proof which split_database asks for."
    )
    stealth_options = ("pytest_args",)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("contexts", nargs="+", help="labels of the contexts")
        parser.add_argument(
            "--scenario",
            metavar="DOTTED.NAME",
            help="function of the project to call on test databases, in place of its tests",
        )
        parser.epilog = "What follows -- are arguments of pytest: manage.py unplug payments -- tests -k order"

    def run_from_argv(self, argv: list[str]) -> None:
        """Keep what follows ``--`` for pytest."""
        end = argv.index("--") if "--" in argv else len(argv)
        self._pytest_args = argv[end + 1 :]
        super().run_from_argv(argv[:end])

    def handle(
        self,
        *args: Any,
        contexts: Sequence[str],
        scenario: str | None,
        pytest_args: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        naming.check_contexts(contexts, registry.contexts())
        given = list(pytest_args if pytest_args is not None else getattr(self, "_pytest_args", []))
        if scenario and given:
            raise CommandError("--scenario calls a function, and no pytest: give it or arguments after --.")
        try:
            if scenario:
                found = running.by_scenario(contexts, scenario)
            else:
                found = running.by_pytest(contexts, given)
            by = scenario or f"pytest {' '.join(given)}".strip()
            results = {context: self._judge(context, found[context], by) for context in contexts}
            proof.keep(results)
        except MicroworkflowsError as error:
            raise CommandError(str(error)) from error
        if left := [context for context, proven in results.items() if proven is None]:
            raise CommandError(f"{', '.join(left)}: not proven to be apart from the others.")

    def _judge(self, context: str, found: Found, by: str) -> Proof | None:
        """Say what was found of a context; return the proof if nothing is left."""
        in_code, not_looked_at = importing.in_code(context, Parties())
        found.findings += in_code
        steps = [workflow.label for workflow in registry.workflows() if workflow.context == context]
        doubts = list(found.doubts(steps))
        for line in self._lines(context, found, doubts, not_looked_at):
            self.stdout.write(line)
        if found.findings or doubts:
            return None
        proven = Proof(
            proven_at=proof.now(),
            code=proof.digest(),
            by=by,
            tests=len(found.tests),
            own_statements=found.own_statements,
            others_statements=found.others_statements,
            steps=sorted(found.steps),
            not_looked_at=not_looked_at,
        )
        self.stdout.write(f"{context} is apart from the others: {proven}. Noted in {proof.path()}.")
        return proven

    def _lines(
        self, context: str, found: Found, doubts: Sequence[str], not_looked_at: Sequence[str]
    ) -> Iterator[str]:
        findings = found.sorted()
        if findings:
            yield f"{context}: {len(findings)} places to mend before it can have a database of its own"
            yield from (f"  {finding}" for finding in findings)
        for doubt in doubts:
            yield f"{context}: {doubt}"
        for gap in not_looked_at:
            yield f"{context}: not looked at: {gap}"
        yield (
            f"{context}: {found.own_statements} statements of its own on its tables, {found.others_statements} of others on theirs; "
            f"{found.nobodys} of tests, and of Django alone, are not judged"
        )
