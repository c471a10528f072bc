"""Bridging: data that several contexts need, once one of them leaves the monolith. A Django app, installed while that lasts.

``manage.py bootstrap`` records rows of the past as events, for the contexts that need them (:mod:`.bootstrapping`).
"""

from microworkflows.bridging.rows import Past

__all__ = ["Past"]
