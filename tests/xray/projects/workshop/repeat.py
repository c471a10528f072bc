"""Serves the stocktaking as often as each line of its input says, and prints the seconds of CPU time that it took."""

import sys
import time

import django

django.setup()

from django.core.management import call_command
from django.test import Client
from stock.models import Item

call_command("migrate", run_syncdb=True, verbosity=0)
for name in ("bolt", "nail", "nut"):
    Item.objects.create(name=name)
client = Client()
print("ready", flush=True)
for line in sys.stdin:
    began = time.process_time()
    for _ in range(int(line)):
        assert client.get("/stocktaking/").content == b"0"
    print(time.process_time() - began, flush=True)
