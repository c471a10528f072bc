"""Serves a few requests as a server would, in one process."""

import asyncio
import os
import sys
import threading

import django

django.setup()

from django.core.management import call_command
from django.test import AsyncClient, Client
from stock.models import Item

call_command("migrate", run_syncdb=True, verbosity=0)
Item.objects.create(name="nut")
requests = int(sys.argv[1]) if len(sys.argv) > 1 else 1
for _ in range(requests):
    answer = Client().post("/orders/", {"customer": "secret-ada"})
    assert answer.status_code == 200
threads = [threading.Thread(target=Client().get, args=("/orders/secret-ada/",)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert Client(raise_request_exception=False).post("/broken/").status_code == 500
assert Client().get("/secret-nowhere/").status_code == 404
asyncio.run(AsyncClient().post("/later/"))
if os.environ.get("WORKSHOP_FORK"):
    child = os.fork()
    if child == 0:
        Client().post("/orders/", {"customer": "secret-ada"})
        sys.exit()
    os.waitpid(child, 0)
print("served")
