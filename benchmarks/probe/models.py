"""What a measured step writes: a row changed and a row added, as a step of the shop does."""

from django.db import models


class Item(models.Model):
    """A row that is there before; the step changes its state."""

    number = models.BigIntegerField(primary_key=True)
    state = models.CharField(max_length=20, default="new")
    changed_at = models.DateTimeField(null=True)

    objects: "models.Manager[Item]" = models.Manager()

    def __str__(self) -> str:
        return f"{self.number} {self.state}"


class Effect(models.Model):
    """A row that the step adds."""

    number = models.BigIntegerField()
    marker = models.CharField(max_length=20)
    started_ns = models.BigIntegerField()
    """When the step began: nanoseconds of the machine's monotonic clock, which all its processes share."""

    objects: "models.Manager[Effect]" = models.Manager()

    def __str__(self) -> str:
        return f"{self.number} {self.marker}"
