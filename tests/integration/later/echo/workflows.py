from microworkflows import microworkflow
from tests.integration.echo.events import Answered, Asked
from tests.integration.probe.behaviours import effect


@microworkflow(on=Asked, context="echo")
def hear(event: Asked) -> None:
    effect("echo.hear", event)


@microworkflow(on=Answered, context="echo")
def conclude(event: Answered) -> None:
    effect("echo.conclude", event)
