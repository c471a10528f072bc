"""The first half of the walk on servers, and back at each stage: until every context is live, while orders are placed."""

import pytest

from tests.guide import walking
from tests.guide.walking import Walk

pytestmark = [pytest.mark.slow, pytest.mark.acceptance, pytest.mark.postgres, pytest.mark.rabbitmq]


def test_shop_walks_to_where_everybody_is_live_and_back_at_each_stage(walk: Walk) -> None:
    with walking.under_way(walk):
        for stage in range(1, 7):
            walking.there_back_and_there(walk, stage)
        walk.customers.wait_for_more()
