from django.dispatch import Signal

bezahlt = Signal()
