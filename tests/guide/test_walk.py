"""The walk on servers: one shop through all stages by the commands of the pages, while orders are placed.

From where contexts get databases of their own on, it goes back at each; before, test_walk_to_live.py does, beside this one.
"""

import pytest

from tests.guide import walking
from tests.guide.walking import Walk

pytestmark = [pytest.mark.slow, pytest.mark.acceptance, pytest.mark.postgres, pytest.mark.rabbitmq]


def test_shop_walks_to_its_last_stage_and_back_from_each_own_database_and_service(walk: Walk) -> None:
    with walking.under_way(walk):
        for stage in range(1, 7):
            walk.forward(stage)
            walk.customers.wait_for_more()
            walk.tidy(stage)
        for stage in range(7, 10):
            walking.there_back_and_there(walk, stage)
        walk.customers.wait_for_more()
