"""The Django project that hosts the shop."""
