"""System checks of the kit; importing this package registers them.

Ids are stable: ``microworkflows.E0xx`` stops, ``microworkflows.W0xx`` warns; ``SILENCED_SYSTEM_CHECKS`` takes them.
"""

from microworkflows.checks import declarations, surroundings

__all__ = ["declarations", "surroundings"]
