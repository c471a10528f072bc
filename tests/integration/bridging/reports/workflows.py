from microworkflows import microworkflow
from tests.integration.echo.events import Asked
from tests.integration.probe.behaviours import effect


@microworkflow(on=Asked, context="echo", bootstrap=True)
def count(event: Asked) -> None:
    effect("echo.count", event)
