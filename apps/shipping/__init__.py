"""Shipping: where each order goes, and the parcel that takes it there."""
