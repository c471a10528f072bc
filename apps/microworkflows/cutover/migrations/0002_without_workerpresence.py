"""The workers that were seen are in the core's table of heartbeats.

The old table stays for now: relays and pages of version 0.1, which may run beside this one, still use it.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("microworkflows_cutover", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel("WorkerPresence")]),
    ]
