from kiosk.papers import apps


class PapersConfig(apps.PapersConfig):
    name = "shop.papers"
