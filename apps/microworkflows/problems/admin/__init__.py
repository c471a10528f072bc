"""The problems in the Django admin."""

from microworkflows.problems.admin.pages import ProblemAdmin

__all__ = ["ProblemAdmin"]
