"""Acceptance: the shop as a person meets it, with real processes, in a terminal and in a browser."""
