"""The cut-over in the Django admin: the page from which contexts are handed over, and what shadow runs showed."""

from microworkflows.cutover.admin.comparisons import ShadowComparisonAdmin
from microworkflows.cutover.admin.contexts import ContextModeAdmin, ModeChangeAdmin

__all__ = ["ContextModeAdmin", "ModeChangeAdmin", "ShadowComparisonAdmin"]
