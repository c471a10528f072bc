"""X-ray of a Django monolith: what its parts import, read, write and call of each other. It changes nothing in it."""

__version__ = "0.1.0"
