from django.dispatch import Signal

order_closed = Signal()
