from django.contrib.auth.models import Group
from django.db import models


class Person(models.Model):
    name = models.CharField(max_length=40)
    groups = models.ManyToManyField(Group)

    def close(self):
        return self.account_set.all()
