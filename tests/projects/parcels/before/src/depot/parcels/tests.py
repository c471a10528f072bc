from django.test import TestCase

from depot.archive.models import Delivery
from depot.parcels.models import Parcel


class ParcelTests(TestCase):
    databases = {"default", "archive"}

    def test_accepted_parcel_gets_a_label(self):
        with self.captureOnCommitCallbacks(execute=True):
            answer = self.client.post("/parcels/", {"recipient": "Ada"})

        assert Parcel.objects.get(pk=answer.json()["id"]).label == "To Ada"

    def test_archive_is_counted(self):
        Delivery.objects.create(parcel=1)

        assert self.client.get("/archive/").json() == {"count": 1}
