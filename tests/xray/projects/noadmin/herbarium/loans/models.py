from django.db import models


class Room(models.Model):
    door = models.CharField(max_length=8)


class Stay(models.Model):
    room = models.ForeignKey(Room, on_delete=getattr(models, "DB_CASCADE", models.CASCADE))
    specimen = models.ForeignKey("herbarium.Fern", on_delete=models.DO_NOTHING, db_constraint=False)


class Ledger(models.Model):
    class Meta:
        managed = False
        db_table = "old_ledger"
