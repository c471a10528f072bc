"""Shipping in the admin: read-only, because a parcel that is under way cannot be edited."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows.admin.badges import badge
from microworkflows.admin.lists import BoundedListMixin, ValuesFilter
from shipping.models import Destination, Shipment


class _ReadOnlyAdmin(BoundedListMixin, admin.ModelAdmin):
    """Rows that come from events: looked at, never added, edited or deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Shipment | Destination | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Shipment | Destination | None = None) -> bool:
        return False


@admin.register(Shipment)
class ShipmentAdmin(_ReadOnlyAdmin):
    """Parcels."""

    list_display = ["tracking_number", "state_badge", "carrier", "recipient", "country", "scheduled_at"]
    list_filter = ["carrier", ("destination__country", ValuesFilter)]
    search_fields = ["tracking_number", "order_id", "destination__name"]
    date_hierarchy = "scheduled_at"
    list_per_page = 50
    list_select_related = ["destination"]
    fields = ["tracking_number", "state_badge", "carrier", "destination", "scheduled_at", "order_id"]
    readonly_fields = ["state_badge", "destination_text"]

    class Media:
        """Badges."""

        css = {"all": ["microworkflows/admin.css"]}

    def get_fields(self, request: HttpRequest, obj: Shipment | None = None) -> list[Any]:
        """Return the fields; in place of the destination, which is a link, its text for those who may not open it."""
        if request.user.has_perm("shipping.view_destination"):
            return [*self.fields]
        return ["destination_text" if name == "destination" else name for name in self.fields]

    @admin.display(description=_("destination"))
    def destination_text(self, obj: Shipment) -> str:
        """Where it goes, in a line."""
        return str(obj.destination)

    @admin.display(description=_("state"))
    def state_badge(self, obj: Shipment) -> SafeString:
        """The state as a badge: a shipment exists from when it is scheduled."""
        return badge(gettext("Scheduled"), tone="good")

    @admin.display(description=_("recipient"), ordering="destination__name")
    def recipient(self, obj: Shipment) -> str:
        """Who gets the parcel."""
        return obj.destination.name

    @admin.display(description=_("country"), ordering="destination__country")
    def country(self, obj: Shipment) -> str:
        """Where it goes (ISO 3166-1 alpha-2)."""
        return obj.destination.country


@admin.register(Destination)
class DestinationAdmin(_ReadOnlyAdmin):
    """Addresses, and which of them wait for a parcel."""

    list_display = ["created_at", "state_badge", "name", "city", "country", "order_id"]
    list_display_links = ["created_at"]
    list_filter = ["ready", ("country", ValuesFilter)]
    search_fields = ["order_id", "name", "city"]
    date_hierarchy = "created_at"
    list_per_page = 50
    fields = ["state_badge", "name", "street", ("postcode", "city"), "country", "created_at", "order_id"]
    readonly_fields = ["state_badge", "created_at"]

    class Media:
        """Badges."""

        css = {"all": ["microworkflows/admin.css"]}

    @admin.display(description=_("state"), ordering="ready")
    def state_badge(self, obj: Destination) -> SafeString:
        """What is waited for, as a badge."""
        if obj.dropped:
            return badge(gettext("Not shipped"), tone="bad")
        if not obj.noted:
            return badge(gettext("Address awaited"), tone="busy")
        if not obj.ready:
            return badge(gettext("Items awaited"), tone="idle")
        return badge(gettext("Shipped"), tone="good")
