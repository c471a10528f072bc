import asyncio
import http.server
import threading

import pytest
from django.db import connection
from django.test import AsyncClient, TestCase
from sales import services
from sales.models import Line, Note, Order
from stock.models import Item, Movement


@pytest.mark.django_db
@pytest.mark.parametrize("customer", ["secret-ada", "secret-bob"])
def test_order_is_placed(client, customer):
    Item.objects.create(name="nut")

    client.post("/orders/", {"customer": customer})

    assert Movement.objects.count() == 1


@pytest.mark.django_db
def test_note_is_made_by_a_generic_view(client):
    client.post("/notes/", {"text": "secret-note"})

    assert Note.objects.count() == 1


@pytest.mark.django_db
def test_customer_is_looked_up(client):
    assert client.get("/orders/secret-ada/").content == b"0"


@pytest.mark.django_db(transaction=True)
def test_order_is_placed_asynchronously():
    asyncio.run(AsyncClient().post("/later/"))

    assert Order.objects.count() == 1


@pytest.mark.django_db
def test_service_forgets():
    services.forget("secret-ada")


@pytest.mark.django_db(transaction=True)
def test_threads_are_seen():
    def work():
        Order.objects.create(customer="secret-thread")
        services.place_order("secret-thread", [])
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert Order.objects.count() == 2


@pytest.mark.django_db
def test_call_over_the_network():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        services.charge(server.server_port)


def test_live_server(live_server, transactional_db):
    import urllib.request

    with urllib.request.urlopen(f"{live_server.url}/orders/secret-ada/") as answer:
        assert answer.read() == b"0"


@pytest.mark.django_db
def test_that_fails():
    assert Order.objects.count() == 1


class Counted(TestCase):
    def test_queries_are_counted(self):
        item = Item.objects.create(name="nut")

        # two savepoints around two inserts, an update and another insert
        with self.assertNumQueries(8):
            services.place_order("secret-ada", [item])

    def test_callbacks_are_captured(self):
        with self.captureOnCommitCallbacks() as callbacks:
            services.place_order("secret-ada", [])

        assert callbacks == [services.tell, services.count]
        assert Line.objects.count() == 0
