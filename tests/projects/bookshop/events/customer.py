"""Buys a book in the shop as its customers do, waits until it is packed, and looks at the order in Django's admin."""

import os
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bookshop.settings")
django.setup()

from django.contrib.auth import get_user_model
from django.test import Client
from oscar.core.loading import get_model
from tests.buying import buy, make_book

owner = get_user_model().objects.create_superuser("owner", email="owner@example.com")
client = Client()
client.force_login(owner)
answer = buy(client, make_book())
order = get_model("order", "Order").objects.get()
print("bought", order.number, answer.url, flush=True)

while order.status != "Packed":
    time.sleep(0.1)
    order.refresh_from_db()

page = client.get(f"/admin/order/order/{order.pk}/change/").content.decode()
for step in ("sales.order_placed.v1", "packing.pack", "packing.parcel_packed.v1", "sales.note_parcel"):
    print("admin shows" if step in page else "admin lacks", step)
for page in ("outboxevent", "inboxevent"):
    print(page, client.get(f"/admin/microworkflows/{page}/").status_code)
print("dashboard", client.get(f"/dashboard/orders/{order.number}/").status_code, flush=True)
