"""Payments: takes the money for accepted orders and gives it back when they cannot be filled."""
