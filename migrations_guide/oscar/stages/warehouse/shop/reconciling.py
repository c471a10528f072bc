"""Whether the shop and the warehouse say the same."""

from django.conf import settings
from django.db.models import F
from microworkflows.bridging import Comparison
from oscar.core.loading import get_model
from warehouse.models import Allocation


def allocations():
    """Each line that was sold, and what the warehouse holds for it."""
    there = "warehouse" if "warehouse" in settings.DATABASES else "default"
    return Comparison(
        left=get_model("order", "Line").objects.values("quantity", line=F("pk"), sku=F("partner_sku")),
        right=Allocation.objects.using(there)
        .filter(line_id__gt=0)
        .values("quantity", "sku", line=F("line_id")),
        key="line",
    )
