"""Inventory in the admin: stock is counted here, reservations are only looked at."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from inventory import stock
from inventory.models import Reservation, ReservationLine, StockItem


class StockItemForm(forms.ModelForm):
    """What somebody counted on the shelf."""

    class Meta:
        model = StockItem
        fields = ["product", "on_hand"]

    def clean_on_hand(self) -> int:
        """Hold the count against what is reserved."""
        on_hand: int = self.cleaned_data["on_hand"]
        if on_hand < self.instance.reserved:
            raise ValidationError(
                ngettext(
                    "%(reserved)s piece is reserved for paid orders, so there must be at least one.",
                    "%(reserved)s pieces are reserved for paid orders, so there must be at least as many.",
                    self.instance.reserved,
                ),
                code="less_than_reserved",
                params={"reserved": self.instance.reserved},
            )
        return on_hand


@admin.register(StockItem)
class StockItemAdmin(admin.ModelAdmin):
    """The shelves."""

    form = StockItemForm
    list_display = ["sku", "on_hand", "reserved", "available"]
    search_fields = ["product__sku", "product__name"]
    autocomplete_fields = ["product"]
    list_per_page = 50
    readonly_fields = ["reserved", "available"]

    def get_readonly_fields(self, request: HttpRequest, obj: StockItem | None = None) -> list[str]:
        """What lies on a shelf may change, but not which product it is."""
        return [*self.readonly_fields, *([] if obj is None else ["product"])]

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> StockItem | None:
        """Return the item, locked while it is edited: no order comes between check and save."""
        item: StockItem | None = super().get_object(request, object_id, from_field)
        if item is not None and request.method == "POST" and transaction.get_connection().in_atomic_block:
            return StockItem.objects.select_for_update().filter(pk=item.pk).first()
        return item

    def save_model(self, request: HttpRequest, obj: StockItem, form: Any, change: bool) -> None:
        """Save a new item as it is; of a known one nothing but the count."""
        if change:
            stock.count(sku=obj.product_id, on_hand=obj.on_hand)
        else:
            super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: StockItem | None = None) -> bool:
        """A product that is no longer kept has zero on hand."""
        return False

    @admin.display(description=_("SKU"), ordering="product_id")
    def sku(self, obj: StockItem) -> str:
        """What the product is known by."""
        return obj.product_id

    @admin.display(description=_("available"))
    def available(self, obj: StockItem) -> int:
        """Pieces that can still be promised."""
        return obj.available


class ReservationLineInline(admin.TabularInline):
    """What the order wants, on the reservation's page."""

    model = ReservationLine
    fields = ["product", "quantity"]
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:
        """Lines come from the order."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:
        """What was ordered cannot be edited here."""
        return False


@admin.register(Reservation)
class ReservationAdmin(admin.ModelAdmin):
    """What is set aside for which order."""

    list_display = ["created_at", "state", "wanted", "order"]
    list_select_related = ["order"]
    list_filter = ["state"]
    search_fields = ["order__number", "order__id", "lines__product__sku"]
    date_hierarchy = "created_at"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    fields = ["order", "state", "created_at", "changed_at"]
    readonly_fields = ["created_at", "changed_at"]
    inlines = [ReservationLineInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reservation]:
        """Return reservations with their lines."""
        return super().get_queryset(request).prefetch_related("lines")

    @admin.display(description=_("wanted"), empty_value="–")
    def wanted(self, obj: Reservation) -> str:
        """What the order wants, in short."""
        return ", ".join(map(str, obj.lines.all()))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Reservations come from orders."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:
        """Only its order moves a reservation."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:
        """A deleted reservation would leave its pieces promised for ever."""
        return False
