from mill.flour.models import Sack


def turn():
    return Sack.objects.count()
