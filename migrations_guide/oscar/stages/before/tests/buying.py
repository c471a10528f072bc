from django.urls import reverse
from oscar.core.loading import get_model

Order = get_model("order", "Order")


def put(client, product, quantity=1):
    assert (
        client.post(reverse("basket:add", kwargs={"pk": product.pk}), {"quantity": quantity}).status_code
        == 302
    )


def check_out(client, *, guest=False):
    """Go through the checkout; return the order."""
    if guest:
        client.post(reverse("checkout:index"), {"username": "guest@example.com", "options": "anonymous"})
    address = {
        "first_name": "Jane",
        "last_name": "Doe",
        "line1": "1 Road",
        "line4": "Town",
        "postcode": "N1 9RT",
        "country": "GB",
    }
    assert client.post(reverse("checkout:shipping-address"), address).status_code == 302
    client.get(reverse("checkout:shipping-method"))
    client.get(reverse("checkout:payment-method"))
    assert client.get(reverse("checkout:preview")).status_code == 200
    answer = client.post(reverse("checkout:preview"), {"action": "place_order"})
    assert answer.status_code == 302, answer.content[:3000]
    assert client.get(answer.url).status_code == 200
    return Order.objects.latest("pk")


def buy(client, *products, quantity=1, guest=False):
    for product in products:
        put(client, product, quantity)
    return check_out(client, guest=guest)
