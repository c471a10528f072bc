"""Where Oscar looks for this project's classes."""

from shop.order.announcing import OrderCreator

__all__ = ["OrderCreator"]
