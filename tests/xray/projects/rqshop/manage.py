"""Starts the shop, from a copy of its settings that the machine names."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", os.getenv("LADEN_SETTINGS", "laden.conf.live"))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
