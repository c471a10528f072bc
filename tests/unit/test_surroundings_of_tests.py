"""What each process of the tests has to itself."""

import os

from django.conf import settings

from microworkflows import celery_app
from tests import servers


def test_process_of_the_tests_has_a_broker_of_its_own() -> None:
    own = f"embedded://{servers.SCRATCH / 'broker'}"

    assert (celery_app.get().conf.broker_url, settings.BROKER_URL, os.environ["BROKER_URL"]) == (
        own,
        own,
        own,
    )
