"""The kit in the Django admin: outbox, inbox, dead letters, pauses, the journey of each flow, and counts of messages that need attention.

Without ``django.contrib.admin`` it registers nothing, and Django's template checks can still import its badges.
"""

from django.apps import apps

if apps.is_installed("django.contrib.admin"):
    # Imported first, so that its models surely are registered before we take over.
    import django_outbox_pattern.admin  # noqa: F401
    from django.contrib import admin
    from django_outbox_pattern.models import Published, Received

    from microworkflows.admin.dead_letters import DeadLetterAdmin
    from microworkflows.admin.flow_states import FlowStateMixin
    from microworkflows.admin.inbox import InboxEventAdmin
    from microworkflows.admin.journeys import JourneyAdminMixin
    from microworkflows.admin.lists import BoundedListMixin
    from microworkflows.admin.outbox import OutboxEventAdmin
    from microworkflows.admin.pauses import HoldAdmin

    __all__ = [
        "BoundedListMixin",
        "DeadLetterAdmin",
        "FlowStateMixin",
        "HoldAdmin",
        "InboxEventAdmin",
        "JourneyAdminMixin",
        "OutboxEventAdmin",
    ]

    # The library's admin allows editing and deleting rows by hand, which would lose or forge messages.
    for _model in (Published, Received):
        if admin.site.is_registered(_model):
            admin.site.unregister(_model)

    # A template named admin/index.html would depend on the order of INSTALLED_APPS; this extends whichever one is found.
    if admin.site.index_template is None:
        admin.site.index_template = "admin/microworkflows/index.html"
