"""Payments in the admin: read-only, because they tell what happened at the gateway."""

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows.admin.badges import badge
from microworkflows.admin.lists import BoundedListMixin, ValuesFilter
from payments.models import Payment

_TONES = {Payment.State.RECEIVED: "good", Payment.State.DECLINED: "bad", Payment.State.REFUNDED: "idle"}


@admin.register(Payment)
class PaymentAdmin(BoundedListMixin, admin.ModelAdmin):
    """What was collected, declined and given back."""

    list_display = ["taken_at", "state_badge", "amount_with_currency", "order_id"]
    list_display_links = ["taken_at"]
    list_filter = ["state", ("decline_reason", ValuesFilter), "currency"]
    search_fields = ["reference", "refund_reference", "order_id", "idempotency_key"]
    date_hierarchy = "taken_at"
    list_per_page = 50
    fields = [
        "state_badge",
        "amount_with_currency",
        "reference",
        "decline_reason",
        "refund_reference",
        "taken_at",
        "refunded_at",
        "order_id",
        "idempotency_key",
    ]
    readonly_fields = ["state_badge", "amount_with_currency"]

    class Media:
        """Badges."""

        css = {"all": ["microworkflows/admin.css"]}

    @admin.display(description=_("state"), ordering="state")
    def state_badge(self, obj: Payment) -> SafeString:
        """The state as a badge, with the reason of a decline."""
        text: str = obj.get_state_display()
        if obj.decline_reason:
            text = gettext("%(state)s: %(reason)s") % {"state": text, "reason": obj.decline_reason}
        return badge(text, tone=_TONES.get(Payment.State(obj.state), "busy"))

    @admin.display(description=_("amount"), ordering="amount")
    def amount_with_currency(self, obj: Payment) -> str:
        """The amount."""
        return f"{obj.amount} {obj.currency}"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Payments come from events."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Payment | None = None) -> bool:
        """What happened cannot be edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Payment | None = None) -> bool:
        """What happened cannot be deleted."""
        return False
