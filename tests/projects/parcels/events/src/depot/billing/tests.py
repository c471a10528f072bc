from django.test import TestCase
from microworkflows.testing import Flow

from depot.billing.models import Invoice
from depot.parcels.models import Parcel


class BillingTests(TestCase):
    databases = {"default", "archive"}

    def test_accepted_parcel_is_billed_once(self):
        with self.captureOnCommitCallbacks(execute=True):
            parcel = self.client.post("/parcels/", {"recipient": "Ada"}).json()["id"]

            Flow().run(times=2)

        assert Invoice.objects.get().parcel == parcel
        assert Parcel.objects.get().label == "To Ada"
