"""Tests: unit, integration (real servers), acceptance (real worker processes) and architecture.

A package, because a dependency of django-outbox-pattern installs a top-level ``tests`` of its own.
"""
