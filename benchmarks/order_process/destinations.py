"""Where the messages of the order process over django-outbox-pattern go, by the callback that takes them."""

DESTINATIONS = {
    "pay": "/topic/order_accepted",
    "reserve": "/topic/payment_received",
    "ship": "/topic/items_reserved",
    "finish": "/topic/shipment_scheduled",
}
