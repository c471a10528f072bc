"""The journal in the Django admin."""

from django.apps import apps

if apps.is_installed("django.contrib.admin"):
    from microworkflows.journal.admin.flows import FlowAdmin
    from microworkflows.journal.admin.process import ContextAdmin

    __all__ = ["ContextAdmin", "FlowAdmin"]
