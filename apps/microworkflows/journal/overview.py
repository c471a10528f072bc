"""The journal as the core's overview: it answers the core's pages and commands about flows across services."""

from collections.abc import Collection, Mapping

from django.http import HttpRequest

from microworkflows import overviews
from microworkflows.journal import flows, journeys, terminal


class JournalOverview(overviews.Overview):
    """Answers from the journal's tables."""

    css = ("microworkflows_journal/journey.css",)

    def may_see(self, request: HttpRequest) -> bool:
        """Return True if this user may see the journal's flows."""
        return request.user.has_perm("microworkflows_journal.view_flow")

    def picture(self, request: HttpRequest, correlation_id: str) -> overviews.Picture | None:
        """Return a flow's journey across services, in five statements."""
        from microworkflows.journal.admin.pictures.journey import picture

        journey = journeys.journey(correlation_id)
        return None if journey is None else picture(request, journey)

    def standings(self, correlation_ids: Collection[str]) -> Mapping[str, overviews.Standing]:
        """Return where flows stand, in one statement."""
        return flows.standings(correlation_ids)

    def in_need(self) -> Collection[str]:
        """Return correlation ids and keys of the newest flows that failed, are overdue or unknown."""
        return flows.in_need()

    def account(self, term: str) -> overviews.Account | None:
        """Return the journey of the newest flow that a name, key, or id means."""
        found = flows.search(term, most=1)
        journey = journeys.journey(found[0]) if found else None
        return None if journey is None else terminal.account(journey)
