"""Copies: rows of another context that events keep up to date, whatever comes twice, late or out of order."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from django.core import checks
from django.db import models, router, transaction

from microworkflows import times
from microworkflows.errors import MicroworkflowsError
from microworkflows.events import Event


class AmbiguousCopyError(MicroworkflowsError):
    """A key names several rows of a copy."""


class CopyQuerySet(models.QuerySet[Any]):
    """Rows of a copy."""

    def present(self) -> Self:
        """Leave out the rows that are gone at their origin."""
        return self.filter(copy_gone=False)


class Copy(models.Model):
    """Abstract model of a copy. The newest event wins: the one with the highest version, time and id, in this order.

    ::

        class Product(Copy):
            sku = models.CharField(max_length=40, unique=True)
            price = models.DecimalField(max_digits=10, decimal_places=2, null=True)

        @microworkflow(on=ProductPriced, bootstrap=True)
        def note_product(event):
            Product.keep(event, sku=event.sku, values={"price": event.price})

    The key needs a unique constraint; each other column is empty in a row that is gone before it was known.
    """

    copy_version = models.BigIntegerField(default=0, editable=False)
    """Version of the row at its origin; 0 where events name none."""
    copy_as_of = models.DateTimeField(editable=False)
    """Time as of which the row is true."""
    copy_event = models.UUIDField(editable=False)
    """Id of the event that it is of."""
    copy_gone = models.BooleanField(default=False, editable=False)
    """True if there is no such row any more; this one stays, so that no late event brings it back."""

    objects = CopyQuerySet.as_manager()

    class Meta:
        abstract = True

    @classmethod
    def check(cls, **kwargs: Any) -> list[checks.CheckMessage]:
        """Check the model, and find columns that a row cannot do without that is gone before it was known."""
        needed = [field.name for field in cls._meta.concrete_fields if _is_needed(field)]
        found = list(super().check(**kwargs))
        if needed:
            found.append(
                checks.Warning(
                    f"{cls._meta.label} cannot hold a row that is gone before it was known: {', '.join(needed)} must have a value.",
                    hint="Events come out of order, and bury() then makes the row. Give these fields null=True or a default.",
                    obj=cls,
                    id="microworkflows.W069",
                )
            )
        return found

    @classmethod
    def keep(cls, event: Event, *, values: dict[str, Any], version: int = 0, **key: Any) -> bool:
        """Bring a row up to date, or make it, unless a newer event was here before; return True if it was.

        Args:
            event: The event, as delivered.
            values: All values that the copy has from events of its origin: what an event leaves out would be older than it says.
            version: Number that grows with each change of the row at its origin, where the event has one. Times of several machines
                tell the order as well as their clocks agree.
            key: Fields that identify the row.

        Raises:
            AmbiguousCopyError: the key names several rows.
        """
        return cls._take(event, key, {**values, "copy_gone": False}, version)

    @classmethod
    def bury(
        cls, event: Event, *, values: dict[str, Any] | None = None, version: int = 0, **key: Any
    ) -> bool:
        """Mark a row as gone, as :meth:`keep` would bring it up to date; ``values`` empty what nobody may know any more."""
        return cls._take(event, key, {**(values or {}), "copy_gone": True}, version)

    @classmethod
    def _take(cls, event: Event, key: dict[str, Any], values: dict[str, Any], version: int) -> bool:
        meta = event.meta
        stamp = version, meta.as_of or meta.time, meta.id
        taken = {
            **values,
            "copy_version": version,
            "copy_as_of": times.stored(stamp[1]),
            "copy_event": meta.id,
        }
        rows = cls._default_manager.using(router.db_for_write(cls))
        with transaction.atomic(using=rows.db):
            try:
                row, is_new = rows.select_for_update().get_or_create(**key, defaults=taken)
            except cls.MultipleObjectsReturned as error:
                raise AmbiguousCopyError(
                    f"Several rows of {cls._meta.label} have {', '.join(map(str, key))} of this event. Give the key a unique "
                    "constraint, after a look at the rows."
                ) from error
            if is_new:
                return True
            if row.copy_stamp >= stamp:
                return False
            for name, value in taken.items():
                setattr(row, name, value)
            row.save(using=rows.db, update_fields=[*taken])
            return True

    @property
    def copy_stamp(self) -> tuple[int, datetime, UUID]:
        """What tells which of two events is the newer."""
        return self.copy_version, times.aware(self.copy_as_of), self.copy_event


def _is_needed(field: "models.Field[Any, Any]") -> bool:
    """Return True if a row of a copy needs a value for a column that is no part of a key."""
    options = field.model._meta
    keys = {name for each in options.total_unique_constraints for name in each.fields}
    keys |= {name for group in options.unique_together for name in group}
    return not (
        field.null
        or field.has_default()
        or field.empty_strings_allowed
        or field.unique
        or field.name in keys
        or field.name.startswith("copy_")
    )
