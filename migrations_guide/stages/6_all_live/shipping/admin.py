"""Shipping in the admin: read-only, because a parcel that is under way cannot be edited."""

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from shipping.models import Shipment


@admin.register(Shipment)
class ShipmentAdmin(admin.ModelAdmin):
    """Parcels."""

    list_display = ["tracking_number", "carrier", "recipient", "country", "scheduled_at", "order"]
    list_select_related = ["destination", "order"]
    list_filter = ["carrier", "destination__country"]
    search_fields = ["tracking_number", "order__number", "order__id", "destination__name"]
    date_hierarchy = "scheduled_at"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    fields = ["order", "tracking_number", "carrier", "destination", "scheduled_at"]

    @admin.display(description=_("recipient"), ordering="destination__name")
    def recipient(self, obj: Shipment) -> str:
        """Who gets the parcel."""
        return obj.destination.name

    @admin.display(description=_("country"), ordering="destination__country")
    def country(self, obj: Shipment) -> str:
        """Where it goes (ISO 3166-1 alpha-2)."""
        return obj.destination.country

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Shipments come from orders."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Shipment | None = None) -> bool:
        """What is under way cannot be edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Shipment | None = None) -> bool:
        """What is under way cannot be deleted."""
        return False
