"""The shop's front: the catalogue, and orders that are drafted, placed and watched on their way."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Field, Model, QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
)
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from microworkflows.admin.badges import badge
from microworkflows.admin.flow_states import FlowStateMixin
from microworkflows.admin.journeys import JourneyAdminMixin
from microworkflows.admin.lists import BoundedListMixin
from orders import operations
from orders.forms import DraftForm
from orders.models import Order, OrderLine, Product

_LONGEST_KEY = 19
"""Digits of a number that no database takes as a key."""

_TONES = {Order.State.DRAFT: "idle", Order.State.SHIPPED: "good", Order.State.CANCELLED: "bad"}


@admin.register(Product)
class ProductAdmin(BoundedListMixin, admin.ModelAdmin):
    """The catalogue."""

    list_display = ["sku", "name", "price", "currency", "active"]
    list_filter = ["active", "currency"]
    search_fields = ["sku", "name"]

    def get_readonly_fields(self, request: HttpRequest, obj: Product | None = None) -> list[str]:
        """A SKU is what other contexts know the product by, so it never changes."""
        return [] if obj is None else ["sku"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Product], search_term: str
    ) -> tuple[QuerySet[Product], bool]:
        """Offer active products alone where an order line is filled in."""
        queryset, may_have_duplicates = super().get_search_results(request, queryset, search_term)
        if request.resolver_match and request.resolver_match.url_name == "autocomplete":
            queryset = queryset.filter(active=True)
        return queryset, may_have_duplicates


class OrderLineInline(admin.TabularInline):
    """The lines of an order, on its page."""

    model = OrderLine
    fields = ["product", "quantity", "price", "amount"]
    readonly_fields = ["product_text", "price", "amount"]
    autocomplete_fields = ["product"]
    extra = 1

    def get_fields(self, request: HttpRequest, obj: Order | None = None) -> list[Any]:
        """Return the fields; a product that is only read is a link, and a text for those who may not open it."""
        is_read = not (self.has_add_permission(request, obj) or self.has_change_permission(request, obj))
        if is_read and not _sees_products(request):
            return ["product_text" if name == "product" else name for name in self.fields]
        return [*self.fields]

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrderLine]:
        """Return the lines with their products."""
        return super().get_queryset(request).select_related("product")

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        """Choose products here; the catalogue is where they are added, changed and deleted. The head of its column names a field."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.widget.attrs["aria-label"] = str(field.label)
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget.widget.attrs["aria-label"] = str(field.label)
            field.widget.widget.attrs["data-text-none-chosen"] = gettext("none chosen")
            field.widget.can_add_related = False
            field.widget.can_change_related = False
            field.widget.can_delete_related = False
        return field

    def has_add_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        """Lines are added to drafts only."""
        return _is_open(obj) and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        """Lines are changed in drafts only."""
        return _is_open(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        """Lines are removed from drafts only."""
        return _is_open(obj) and super().has_delete_permission(request, obj)

    @admin.display(description=_("product"))
    def product_text(self, obj: OrderLine) -> str:
        """The product's name."""
        return str(obj.product)

    @admin.display(description=_("price"))
    def price(self, obj: OrderLine) -> str:
        """Price of one piece."""
        return f"{obj.price} {obj.product.currency}" if obj.product_id else "–"

    @admin.display(description=_("amount"))
    def amount(self, obj: OrderLine) -> str:
        """Price of the line."""
        return f"{obj.amount} {obj.product.currency}" if obj.product_id else "–"


@admin.register(Order)
class OrderAdmin(FlowStateMixin, JourneyAdminMixin, BoundedListMixin, admin.ModelAdmin):
    """Orders: editable as drafts; once placed, only events move them, so everything is read-only."""

    form = DraftForm
    change_form_template = "admin/orders/order/change_form.html"
    list_display = ["number", "customer_name", "state_badge", "total_with_currency", "placed_at"]
    list_filter = ["state", "cancel_reason", "payment_token"]
    search_fields = ["number", "customer_name", "id"]
    date_hierarchy = "created_at"
    list_per_page = 50
    readonly_fields = ["number", "order_id", "total_with_currency", "placed_at"]
    inlines = [OrderLineInline]
    actions = ["place_selected"]

    class Media:
        """Badges, the button that places an order, and the total that runs along."""

        css = {"all": ["microworkflows/admin.css", "orders/admin.css"]}
        js = ["orders/line_names.js", "orders/running_total.js"]

    # What the journey on the page needs.

    def journey_correlation_id(self, obj: Order) -> str | None:
        """Return the order's id, under which its flow was recorded; None for a draft."""
        return None if obj.is_draft else str(obj.pk)

    def journey_headline(self, obj: Order) -> SafeString:
        """Return the state, and what the other side said where it was cancelled."""
        badge_of_state = self.state_badge(obj)
        return format_html("{} {}", badge_of_state, obj.cancel_note) if obj.cancel_note else badge_of_state

    # What is shown.

    def get_fieldsets(self, request: HttpRequest, obj: Order | None = None) -> list[Any]:
        """Return what the customer said and, once the order is saved, how it stands.

        Not the state: it moves while one looks, and the headline of the journey moves with it.
        """
        standing = (None, {"fields": ["number", "total_with_currency", "placed_at", "order_id"]})
        wishes = [
            (gettext("Customer"), {"fields": ["customer_name", "street", ("postcode", "city"), "country"]}),
            (pgettext("way to pay", "Payment"), {"fields": ["payment_token"]}),
        ]
        if obj is None:
            return wishes
        seen = [(None, {"fields": ["seen"]})] if self.has_change_permission(request, obj) else []
        return [standing, *wishes, *seen]

    @admin.display(description=_("state"), ordering="state")
    def state_badge(self, obj: Order) -> SafeString:
        """The state as a badge."""
        text: str = obj.get_state_display()
        if obj.cancel_reason:
            said = {"state": text, "reason": obj.get_cancel_reason_display().lower()}
            text = gettext("%(state)s: %(reason)s") % said
        return badge(text, tone=_TONES.get(Order.State(obj.state), "busy"))

    @admin.display(description=_("order id"))
    def order_id(self, obj: Order) -> str:
        """What the other contexts know the order by."""
        return str(obj.pk)

    @admin.display(description=_("total"), ordering="total")
    def total_with_currency(self, obj: Order) -> str:
        """The total, which is known once the order is placed."""
        return "–" if obj.total is None else f"{obj.total} {obj.currency}"

    # What may be done.

    def has_change_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        """Only drafts can be edited: what was placed has been paid, picked or shipped as it was."""
        return _is_open(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        """Only drafts can be deleted."""
        return _is_open(obj) and super().has_delete_permission(request, obj)

    def has_place_order_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may place orders."""
        return request.user.has_perm("orders.place_order")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Order | None:
        """Return the order, locked while it is edited: nobody can place it between the look at it and the save."""
        order: Order | None = super().get_object(request, object_id, from_field)
        if order is not None and request.method == "POST" and transaction.get_connection().in_atomic_block:
            return Order.objects.select_for_update().filter(pk=order.pk).first()
        return order

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Answer who saves a draft that was placed meanwhile with the reason, and with the order as it is."""
        if request.method == "POST" and self.has_change_permission(request):
            order = self.get_object(request, unquote(object_id))
            if order is not None and not order.is_draft:
                refusal = gettext(
                    "%(order)s is %(state)s: it was placed before you saved, so your changes were not saved. "
                    "Below is the order as it was placed."
                )
                said = {"order": order, "state": order.get_state_display().lower()}
                self.message_user(request, refusal % said, messages.ERROR)
                return self._to_page_of(order)
        return super().change_view(request, object_id, form_url, extra_context)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        """Delete the selected drafts; what was placed meanwhile stays."""
        with transaction.atomic():
            drafts = queryset.select_for_update().filter(state=Order.State.DRAFT)
            super().delete_queryset(request, Order.objects.filter(pk__in=[draft.pk for draft in drafts]))

    # Placing: the button on the page, the same for who may not edit, and the action on the list.

    def get_urls(self) -> list[URLPattern]:
        """Add the address that places a saved order, and the one that tells prices."""
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:order_id>/place/", wrap(self.place_view), name="orders_order_place"),
            path("prices/", wrap(self.prices_view), name="orders_order_prices"),
            *super().get_urls(),
        ]

    def render_change_form(  # noqa: PLR0917  (Django's signature)
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Model | None = None,
    ) -> HttpResponse:
        """Show the button where there is a draft, saved or about to be, and the permission; the total where lines are typed."""
        order = obj if isinstance(obj, Order) else None
        if _sees_products(request) and (add or self.has_change_permission(request, order)):
            context["prices_url"] = reverse("admin:orders_order_prices", current_app=self.admin_site.name)
        may_place = self.has_place_order_permission(request)
        context["place_added_order"] = add and may_place
        if order is not None and order.is_draft and may_place:
            context["place_order_url"] = reverse(
                "admin:orders_order_place", args=[order.pk], current_app=self.admin_site.name
            )
        return super().render_change_form(request, context, add, change, form_url, obj)

    def response_add(
        self, request: HttpRequest, obj: Order, post_url_continue: str | None = None
    ) -> HttpResponse:
        """After a first save by the button *Place order*: place what was saved; it stays a draft if it cannot be placed."""
        if "_place" not in request.POST:
            return super().response_add(request, obj, post_url_continue)
        return self._place(request, obj)

    def response_change(self, request: HttpRequest, obj: Order) -> HttpResponse:
        """After a save by the button *Place order*: place what was saved."""
        if "_place" not in request.POST:
            return super().response_change(request, obj)
        return self._place(request, obj)

    def place_view(self, request: HttpRequest, order_id: UUID) -> HttpResponseBase:
        """Place a saved order and return to its page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._place(request, get_object_or_404(Order, pk=order_id))

    @method_decorator(require_safe)
    def prices_view(self, request: HttpRequest) -> HttpResponseBase:
        """Tell the present prices of the products with these keys, in hundredths: ``{"7": {"cents": 1290, "currency": "EUR"}}``."""
        if not _sees_products(request):
            raise PermissionDenied
        keys = [key for key in request.GET.getlist("product") if key.isdecimal() and len(key) < _LONGEST_KEY]
        found = Product.objects.filter(pk__in=keys)
        return JsonResponse(
            {
                product.pk: {"cents": int(product.price * 100), "currency": product.currency}
                for product in found
            }
        )

    @admin.action(description=_("Place selected orders"), permissions=["place_order"])
    def place_selected(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        """Place each selected order for itself: one that cannot be placed holds up no other."""
        for order in queryset.order_by("created_at"):
            self._try_to_place(request, order)

    def _place(self, request: HttpRequest, order: Order) -> HttpResponse:
        if not self.has_place_order_permission(request):
            raise PermissionDenied
        self._try_to_place(request, order)
        if not self.has_view_permission(request, order):
            return self.response_post_save_add(request, order)
        return self._to_page_of(order)

    def _to_page_of(self, order: Order) -> HttpResponse:
        return HttpResponseRedirect(
            reverse("admin:orders_order_change", args=[order.pk], current_app=self.admin_site.name)
        )

    def _try_to_place(self, request: HttpRequest, order: Order) -> None:
        try:
            with transaction.atomic():
                operations.place_order(order=order)
                self.log_change(request, order, gettext("Placed."))
        except operations.PlaceOrderError as error:
            for problem in error.messages:
                self.message_user(request, problem, messages.ERROR)
        else:
            done = gettext("%(order)s was placed: %(total)s.")
            said = {"order": order, "total": self.total_with_currency(order)}
            self.message_user(request, done % said, messages.SUCCESS)


def _sees_products(request: HttpRequest) -> bool:
    """Tell whether the user may see the catalogue."""
    return any(request.user.has_perm(f"orders.{action}_product") for action in ("view", "change"))


def _is_open(order: Order | None) -> bool:
    """Tell whether an order can still be edited; where no certain one is asked about, some can."""
    return order is None or order.is_draft
