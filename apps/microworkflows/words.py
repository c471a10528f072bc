"""The words for states and kinds on pages, in the reader's language; in code, logs, metrics and JSON they stay English."""

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

_WORDS: Final[dict[str, Promise]] = {
    # of events and deliveries
    "pending": _("pending"),
    "relayed": _("relayed"),
    "unheard": _("unheard"),
    "rejected": _("rejected"),
    "scheduled": _("scheduled"),
    "cancelled": _("cancelled"),
    "foreign": _("foreign"),
    "expected": _("expected"),
    "handled": _("handled"),
    "waiting": _("waiting"),
    "parked": _("parked"),
    "dismissed": _("dismissed"),
    "missed": _("missed"),
    "purged": _("purged"),
    "elsewhere": _("elsewhere"),
    "replayed": _("replayed"),
    "erased": _("erased"),
    "failed": _("failed"),
    "refused": _("refused"),
    "unknown": _("unknown"),
    "running": _("running"),
    "untold": _("untold"),
    "being handled this moment": _("being handled this moment"),
    # of counts
    "unreceived": _("unreceived"),
    "dead": pgettext_lazy("messages", "dead"),
    "left behind": _("left behind"),
    # of pauses
    "paused": _("paused"),
    "over": pgettext_lazy("a pause", "over"),
    "context": _("context"),
    "microworkflow": _("microworkflow"),
    "flow": _("flow"),
    # of flows
    "not begun": _("not begun"),
    "needs attention": _("needs attention"),
    "a long flow": _("a long flow"),
    "settled": _("settled"),
    "on its way": _("on its way"),
    "overdue": _("overdue"),
    "done": _("done"),
    # a context's part in a flow
    "inline": pgettext_lazy("mode", "inline"),
    "shadow": pgettext_lazy("mode", "shadow"),
    "shadow disagreed": _("shadow disagreed"),
    "live": pgettext_lazy("mode", "live"),
    "bootstrapped": _("bootstrapped"),
    # of what a flow waits for
    "worker": _("worker"),
    "relay": _("relay"),
    "backlog": _("backlog"),
    "under way": _("under way"),
    "retry": _("retry"),
    "dead letter": _("dead letter"),
    "lost": _("lost"),
    "deadline": _("deadline"),
    "at rest": _("at rest"),
    # of comparisons
    "agreed": _("agreed"),
    "differs": _("differs"),
}


def shown(word: str) -> str:
    """Return the word that people read for one of the code's; any other text comes back as it is."""
    return str(_WORDS.get(word, word))
