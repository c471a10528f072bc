from django.apps import AppConfig


class AnalyticsEventsConfig(AppConfig):
    name = "analytics_events"

    def ready(self):
        """Put the event in the place of Oscar's receiver."""
        from oscar.apps.analytics import receivers
        from oscar.apps.order.signals import order_placed

        from shop.order.announcing import announce_order_placed

        order_placed.disconnect(receivers.receive_order_placed)
        order_placed.connect(announce_order_placed)
