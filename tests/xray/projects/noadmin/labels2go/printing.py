"""No model; it names its neighbours in every way that a statement has."""

from typing import TYPE_CHECKING

import herbarium.loans.models
import herbarium.models as plants
from herbarium import models as again
from herbarium.loans import (
    models as loans,
)

if TYPE_CHECKING:
    from herbarium.models import Collector


def print_for(collector: "Collector"):
    from herbarium.models import Specimen

    return Specimen, plants, again, loans, herbarium.loans.models
