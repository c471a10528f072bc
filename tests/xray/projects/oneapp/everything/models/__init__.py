from .money import Account, Coin
from .people import Person

__all__ = ["Account", "Coin", "Person"]
