from herbarium.models import Specimen

assert Specimen
