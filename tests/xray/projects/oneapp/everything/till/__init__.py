from everything.models import Parcel


def ring(parcel: Parcel):
    return parcel
