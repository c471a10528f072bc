from django.http import HttpResponse
from django.views.generic import CreateView
from stock.models import Item

from sales import services
from sales.models import Note, Order


def place(request):
    services.place_order(request.POST["customer"], list(Item.objects.all()))
    request.session["customer"] = request.POST["customer"]
    return HttpResponse("placed")


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
