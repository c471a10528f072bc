"""The journal in the Django admin."""
