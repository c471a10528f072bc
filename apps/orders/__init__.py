"""Orders: the catalogue, and each order from draft to its final state."""
