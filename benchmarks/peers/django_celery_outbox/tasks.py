"""The Celery app whose tasks go through the outbox; the relay imports it by its name."""

import os

from django_celery_outbox import OutboxCelery

app = OutboxCelery("peer")
app.conf.update(
    broker_url=os.environ["BROKER_URL"],
    broker_transport_options={"confirm_publish": os.environ["VARIANT"].startswith("confirmed")},
    broker_connection_retry_on_startup=True,
    task_default_queue=os.environ["QUEUE"],
    task_default_queue_type="quorum",  # as the queue is that is there: declared otherwise, RabbitMQ refuses
    task_default_exchange_type="direct",
    task_ignore_result=True,
)
