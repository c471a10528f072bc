from django.db import transaction
from django.http import HttpResponse
from django.views.generic import CreateView
from stock.models import Item, Movement

from sales import services
from sales.models import Note, Order


def place(request):
    services.place_order(request.POST["customer"], list(Item.objects.all()))
    request.session["customer"] = request.POST["customer"]
    return HttpResponse("placed")


def take_stock(request):
    """Send ten statements."""
    left = 0
    with transaction.atomic():
        for item in Item.objects.order_by("name")[:3]:
            left += Movement.objects.filter(item=item).count()
            left += item.line_set.select_related("order").filter(order__customer="nobody").count()
        item.take(0)
        Item.objects.filter(name="nothing").delete()
        Note.objects.filter(text="nothing").update(text="something")
    return HttpResponse(str(left))


def look(request, customer):
    return HttpResponse(str(Order.objects.filter(customer=customer).count()))


async def place_later(request):
    await Order.objects.acreate(customer="later")
    return HttpResponse("placed")


def fail(request):
    Order.objects.create(customer="broken")
    raise ValueError("secret-error")


class NoteCreate(CreateView):
    model = Note
    fields = ["text"]
    success_url = "/notes/"
    template_name = "note.html"
