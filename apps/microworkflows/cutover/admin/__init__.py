"""The cut-over in the Django admin: the page for handing contexts over, and the comparisons of shadow runs."""

from microworkflows.cutover.admin.comparisons import ShadowComparisonAdmin
from microworkflows.cutover.admin.contexts import ContextModeAdmin, MissedEventAdmin, ModeChangeAdmin

__all__ = ["ContextModeAdmin", "MissedEventAdmin", "ModeChangeAdmin", "ShadowComparisonAdmin"]
