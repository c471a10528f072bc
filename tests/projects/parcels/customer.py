"""Hands in a parcel, and waits until it is labelled, billed and archived."""

import time

import django

django.setup()

from depot.archive.models import Delivery
from depot.billing.models import Invoice
from depot.parcels.models import Parcel
from django.test import Client

parcel = Client().post("/parcels/", {"recipient": "Ada"}).json()["id"]
print("accepted", flush=True)
for what, wanted in {
    "billed": Invoice.objects.filter(parcel=parcel),
    "labelled": Parcel.objects.filter(pk=parcel, label="To Ada"),
    "archived": Delivery.objects.filter(parcel=parcel),
}.items():
    while not wanted.exists():
        time.sleep(0.1)
    print(what, flush=True)
