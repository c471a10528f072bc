"""Buys a book as customers do, waits until it is packed, and looks at the order in Django's admin and Oscar's dashboard."""

import time

import django

django.setup()

from django.contrib.auth import get_user_model
from django.test import Client
from oscar.core.loading import get_model
from tests.buying import buy, make_book

client = Client()
client.force_login(get_user_model().objects.create_superuser("owner", email="owner@example.com"))
buy(client, make_book())
order = get_model("order", "Order").objects.get()
print("placed", flush=True)
while order.status != "Packed":
    time.sleep(0.1)
    order.refresh_from_db()
print("packed", flush=True)

page = client.get(f"/admin/order/order/{order.pk}/change/").content.decode()
for step in ("sales.order_placed.v1", "packing.pack", "packing.parcel_packed.v1", "sales.note_parcel"):
    print("admin shows" if step in page else "admin lacks", step)
print("outbox", client.get("/admin/microworkflows/outboxevent/").status_code)
print("dashboard", client.get(f"/dashboard/orders/{order.number}/").status_code)
