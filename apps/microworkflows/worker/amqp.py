"""How tasks leave: as Celery sends them, unless a shadow run does, which is to cause nothing that cannot be rolled back."""

from collections.abc import Callable
from typing import Any

from celery.app.amqp import AMQP


class GuardedAMQP(AMQP):
    """Celery's messages; those of a shadow run are refused."""

    def _create_task_sender(self) -> Callable[..., Any]:
        send: Callable[..., Any] = super()._create_task_sender()  # type: ignore[misc]  # the stubs leave it out

        def guarded(producer: Any, name: str, message: Any, **options: Any) -> Any:
            # Imported here: this is imported before Django's apps are ready.
            from microworkflows.cutover.shadow import refuse_in_shadow

            refuse_in_shadow(f"Celery task {name}")
            return send(producer, name, message, **options)

        return guarded
