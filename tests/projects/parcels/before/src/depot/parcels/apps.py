from django.apps import AppConfig


class ParcelsConfig(AppConfig):
    name = "depot.parcels"
    label = "depot_parcels"
