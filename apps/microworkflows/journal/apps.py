"""Django's entry to the journal."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class JournalConfig(AppConfig):
    """Adds the journal's settings, and registers it with the core."""

    name = "microworkflows.journal"
    label = "microworkflows_journal"
    verbose_name = _("Journal")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from microworkflows import conf, flows, overviews
        from microworkflows.journal import checks  # noqa: F401  (registers the system checks)
        from microworkflows.journal.collecting import Collector
        from microworkflows.journal.conf import JournalSettings
        from microworkflows.journal.guest import Journal, follow_processes
        from microworkflows.journal.overview import JournalOverview

        conf.add_section(JournalSettings)
        flows.register(Journal())
        flows.register(Collector())
        follow_processes()
        overviews.register(JournalOverview())
