from django.dispatch import receiver
from microworkflows import outbox
from oscar.apps.order.signals import order_placed

from bookshop.sales.events import OrderPlaced


@receiver(order_placed)
def announce(sender, order, **kwargs):
    number = str(order.number)  # a number until it is read from the database
    copies = {line.title: line.quantity for line in order.lines.all()}
    outbox.record(OrderPlaced(number=number, copies=copies), correlation_id=number)
