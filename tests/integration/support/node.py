"""The RabbitMQ node of the tests' own, by the name that they import it by."""

from project.processes.node import Node

__all__ = ["Node"]
