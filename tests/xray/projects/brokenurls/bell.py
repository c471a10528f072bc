"""An app that is a single module."""


def ring():
    from wards.beds.models import Bed

    return Bed.objects.first()
