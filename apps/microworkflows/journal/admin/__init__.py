"""The journal in the Django admin."""

from django.apps import apps

if apps.is_installed("django.contrib.admin"):
    from microworkflows.journal.admin import front
    from microworkflows.journal.admin.alarms import AlarmAdmin
    from microworkflows.journal.admin.flows import FlowAdmin
    from microworkflows.journal.admin.process import ContextAdmin

    __all__ = ["AlarmAdmin", "ContextAdmin", "FlowAdmin", "front"]
