"""Django's entry to the journal."""

from django.apps import AppConfig


class JournalConfig(AppConfig):
    """Adds the journal's settings, and registers it with the core."""

    name = "microworkflows.journal"
    label = "microworkflows_journal"
    verbose_name = "Journal"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from microworkflows import conf
        from microworkflows.journal.conf import JournalSettings

        conf.add_section(JournalSettings)
