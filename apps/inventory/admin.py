"""Inventory in the admin: stock is counted here, reservations are only looked at."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from inventory import operations
from inventory.models import Reservation, ReservationLine, StockItem
from microworkflows.admin.badges import badge
from microworkflows.admin.lists import BoundedListMixin

LAST_PIECES = 3
"""From so few available pieces on, the list says that a product runs out."""

_TONES = {
    Reservation.State.ISSUED: "good",
    Reservation.State.REFUSED: "bad",
    Reservation.State.DROPPED: "idle",
}


class StockItemForm(forms.ModelForm):
    """What somebody counted on the shelf; refused when stock moved since the form was opened."""

    seen = forms.IntegerField(label="", required=False, widget=forms.HiddenInput)
    """On hand when the form was opened."""

    class Meta:
        model = StockItem
        fields = ["sku", "on_hand"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["seen"] = self.instance.on_hand

    def clean(self) -> dict[str, Any] | None:
        """Hold the count against what is reserved and what moved meanwhile."""
        cleaned = super().clean() or self.cleaned_data
        on_hand, now = cleaned.get("on_hand"), self.instance
        if on_hand is None or now.pk is None:
            return cleaned
        if cleaned.get("seen") != now.on_hand:
            # Shown again, the form has seen what the message says.
            self.data = {
                **self.data,
                self.add_prefix("on_hand"): on_hand,
                self.add_prefix("seen"): now.on_hand,
            }
            raise ValidationError(
                gettext(
                    "Stock moved while you were counting: %(seen)s pieces were on hand, now there are %(now)s. "
                    "Check your count, then save again."
                ),
                code="moved",
                params={"seen": cleaned.get("seen"), "now": now.on_hand},
            )
        if on_hand < now.reserved:
            self.add_error(
                "on_hand",
                ValidationError(
                    ngettext(
                        "%(reserved)s piece is reserved for paid orders, so there must be at least one.",
                        "%(reserved)s pieces are reserved for paid orders, so there must be at least as many.",
                        now.reserved,
                    ),
                    code="less_than_reserved",
                    params={"reserved": now.reserved},
                ),
            )
        return cleaned


@admin.register(StockItem)
class StockItemAdmin(BoundedListMixin, admin.ModelAdmin):
    """The shelves: how much lies there is counted by people, how much is reserved follows from events."""

    form = StockItemForm
    list_display = ["sku", "on_hand", "reserved", "available", "level"]
    search_fields = ["sku"]
    list_per_page = 50
    readonly_fields = ["reserved", "available"]

    class Media:
        """Badges."""

        css = {"all": ["microworkflows/admin.css"]}

    def get_fields(self, request: HttpRequest, obj: StockItem | None = None) -> list[Any]:
        """Return the form's fields; the hidden one only where there is something to edit."""
        if obj is None:
            return ["sku", "on_hand"]
        seen = ["seen"] if self.has_change_permission(request, obj) else []
        return ["sku", "on_hand", "reserved", "available", *seen]

    def get_readonly_fields(self, request: HttpRequest, obj: StockItem | None = None) -> list[str]:
        """A SKU is what orders know the product by, so it never changes."""
        return [*self.readonly_fields, *([] if obj is None else ["sku"])]

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> StockItem | None:
        """Return the item, locked while it is edited: no reservation comes between check and save."""
        item: StockItem | None = super().get_object(request, object_id, from_field)
        if item is not None and request.method == "POST" and transaction.get_connection().in_atomic_block:
            return StockItem.objects.select_for_update().filter(pk=item.pk).first()
        return item

    def save_model(self, request: HttpRequest, obj: StockItem, form: Any, change: bool) -> None:
        """Save a new item as it is; of a known one nothing but the count."""
        if change:
            operations.count_stock(sku=obj.sku, on_hand=obj.on_hand)
        else:
            super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: StockItem | None = None) -> bool:
        """A product that is no longer kept has zero on hand."""
        return False

    @admin.display(description=_("available"))
    def available(self, obj: StockItem) -> int:
        """Pieces that can still be promised."""
        return obj.available

    @admin.display(description=_("level"))
    def level(self, obj: StockItem) -> SafeString:
        """How well the shelf is filled, as a badge."""
        if obj.available == 0:
            return badge(gettext("None available"), tone="bad")
        if obj.available <= LAST_PIECES:
            return badge(gettext("Last pieces"), tone="busy")
        return badge(gettext("In stock"), tone="good")


class ReservationLineInline(admin.TabularInline):
    """What the order wants, on the reservation's page."""

    model = ReservationLine
    fields = ["sku", "quantity", "on_hand_now"]
    readonly_fields = ["on_hand_now"]
    extra = 0
    can_delete = False

    @admin.display(description=_("on hand now"))
    def on_hand_now(self, obj: ReservationLine) -> str:
        """Pieces on the shelf, or that there is none: a shelf without pieces was counted, one that is gone was deleted."""
        on_hand = obj.on_hand  # type: ignore[attr-defined]  # annotated
        return gettext("no stock item has this SKU") if on_hand is None else str(on_hand)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReservationLine]:
        """Look up all shelves with the lines."""
        shelf = StockItem.objects.filter(sku=OuterRef("sku"))
        lines: QuerySet[ReservationLine] = super().get_queryset(request)
        return lines.annotate(on_hand=Subquery(shelf.values("on_hand")))

    def has_add_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:
        """Lines come from events."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:
        """What was ordered cannot be edited here."""
        return False


@admin.register(Reservation)
class ReservationAdmin(BoundedListMixin, admin.ModelAdmin):
    """What is set aside for which order."""

    list_display = ["created_at", "state_badge", "wanted", "order_id"]
    list_display_links = ["created_at"]
    list_filter = ["state"]
    search_fields = ["id", "order_id", "lines__sku"]
    date_hierarchy = "created_at"
    list_per_page = 50
    fields = ["state_badge", "noted", "paid", "created_at", "changed_at", "id", "order_id"]
    readonly_fields = ["state_badge", "created_at", "changed_at", "id"]
    inlines = [ReservationLineInline]

    class Media:
        """Badges."""

        css = {"all": ["microworkflows/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return reservations with their lines."""
        return super().get_queryset(request).prefetch_related("lines")

    @admin.display(description=_("state"), ordering="state")
    def state_badge(self, obj: Reservation) -> SafeString:
        """The state as a badge, with what is waited for."""
        text: str = obj.get_state_display()
        if obj.state == Reservation.State.WAITING:
            text = gettext("Waiting for the payment") if obj.noted else gettext("Waiting for the order")
        return badge(text, tone=_TONES.get(Reservation.State(obj.state), "busy"))

    @admin.display(description=_("wanted"), empty_value="–")
    def wanted(self, obj: Reservation) -> str:
        """What the order wants, in short."""
        return ", ".join(map(str, obj.lines.all()))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Reservations come from events."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:
        """Only events move a reservation."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Reservation | None = None) -> bool:
        """A deleted reservation would leave its pieces promised for ever."""
        return False
