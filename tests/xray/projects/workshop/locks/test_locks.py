import threading

import pytest
from django.db import connection, transaction
from sales import services
from sales.models import Note
from stock.models import Item


def is_waiting():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # a transaction sees the same statistics all along
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return cursor.fetchone()[0] > 0


@pytest.mark.django_db(transaction=True)
def test_reservation_waits_for_another():
    Item.objects.create(name="nut")
    services.reserve()  # the fastest of its kind

    def work():
        services.reserve()
        connection.close()

    waiting = threading.Thread(target=work)
    with transaction.atomic():
        Item.objects.select_for_update().get()
        waiting.start()
        while not is_waiting():
            pass
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.3)")
    waiting.join()


@pytest.mark.django_db
def test_note_is_written_below_django():
    services.write_below()

    assert Note.objects.count() == 1
