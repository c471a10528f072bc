"""How times and dates are written, by language."""
