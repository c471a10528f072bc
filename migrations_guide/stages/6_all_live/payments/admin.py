"""Payments in the admin: read-only, because they tell what happened at the gateway."""

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from payments.models import Payment


@admin.register(Payment)
class PaymentAdmin(admin.ModelAdmin):
    """What was collected, declined and given back."""

    list_display = ["taken_at", "outcome", "amount_with_currency", "order"]
    list_select_related = ["order"]
    list_filter = ["state", "decline_reason", "currency"]
    search_fields = ["reference", "refund_reference", "order__number", "order__id"]
    date_hierarchy = "taken_at"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    fields = [
        "order",
        "outcome",
        "amount_with_currency",
        "reference",
        "refund_reference",
        "taken_at",
        "refunded_at",
        "idempotency_key",
    ]
    readonly_fields = ["outcome", "amount_with_currency"]

    @admin.display(description=_("state"), ordering="state")
    def outcome(self, obj: Payment) -> str:
        """The state, with the reason of a decline."""
        text: str = obj.get_state_display()
        if obj.decline_reason:
            text = gettext("%(state)s: %(reason)s") % {"state": text, "reason": obj.decline_reason}
        return text

    @admin.display(description=_("amount"), ordering="amount")
    def amount_with_currency(self, obj: Payment) -> str:
        """The amount."""
        return f"{obj.amount} {obj.currency}"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Payments come from orders."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Payment | None = None) -> bool:
        """What happened cannot be edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Payment | None = None) -> bool:
        """What happened cannot be deleted."""
        return False
