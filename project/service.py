"""Which of the shop's apps this process has: all of them, or the one that ``SERVICE`` names, as a service of its own."""

import os

from django.core.exceptions import ImproperlyConfigured

CONTEXTS = ("orders", "payments", "inventory", "shipping")


def name() -> str:
    """Return what ``SERVICE`` names; empty where the whole shop is one project.

    Raises:
        ImproperlyConfigured: it names none of the shop's contexts.
    """
    named = os.environ.get("SERVICE", "").strip()
    if named and named not in CONTEXTS:
        raise ImproperlyConfigured(
            f"SERVICE is {named!r}, which is no app of this shop. Set it to one of {', '.join(CONTEXTS)}, or leave it "
            "out to run all of them in one project."
        )
    return named
