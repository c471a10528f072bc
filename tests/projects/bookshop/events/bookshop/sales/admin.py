from django.contrib import admin
from microworkflows.admin import JourneyAdminMixin
from oscar.apps.order.admin import OrderAdmin
from oscar.core.loading import get_model

Order = get_model("order", "Order")
admin.site.unregister(Order)


@admin.register(Order)
class OrderWithJourneyAdmin(JourneyAdminMixin, OrderAdmin):
    def journey_correlation_id(self, obj):
        return obj.number
