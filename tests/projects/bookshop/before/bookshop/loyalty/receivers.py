from django.dispatch import receiver
from oscar.apps.order.signals import order_placed

from bookshop.loyalty.models import Account


@receiver(order_placed)
def give_points(sender, order, user, **kwargs):
    account, _ = Account.objects.get_or_create(customer=user)
    account.points += int(order.total_incl_tax)
    account.save()
