from django.http import JsonResponse
from django.urls import path

from sales import shop


def buy(request):
    order = shop.buy(request.POST["sku"])
    return JsonResponse({"number": order.pk} if order else {}, status=201 if order else 409)


urlpatterns = [path("buy/", buy)]
