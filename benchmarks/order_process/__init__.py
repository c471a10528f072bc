"""The order process of the shop, and of its rivals."""
