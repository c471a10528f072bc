"""Inventory: what lies on the shelves, and what of it is reserved for paid orders."""
