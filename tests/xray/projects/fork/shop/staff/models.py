from django.contrib.auth.models import AbstractUser


class Clerk(AbstractUser):
    pass
