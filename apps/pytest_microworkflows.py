"""The kit's pytest plugin: the fixture ``flow``.

pytest loads it by its entry point in every project in which the kit is installed, before coverage is measured and before
Django has its settings. So it stands beside the kit's package, and imports that only for a test that asks for the fixture.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from microworkflows.testing import Flow


@pytest.fixture
def flow(db: None) -> "Flow":
    """A ``microworkflows.testing.Flow`` on the test's database; ``db`` is pytest-django's."""
    from microworkflows.testing import Flow

    return Flow()
