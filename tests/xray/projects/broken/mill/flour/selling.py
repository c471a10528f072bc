from mill.sluice.models import Gate


def sell():
    return Gate.objects.count()
