"""The case study on Oscar, walked from end to end with few rows and the tests that matter: the walk itself stops at what its page does not say."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.architecture.files import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.postgres, pytest.mark.rabbitmq]

SOME = "tests -k 'stock or books or several or lines_are_shipped'"


def test_walk_from_oscar_as_it_is_to_a_context_in_its_own_database_and_back(
    tmp_path: Path, broker_url: str
) -> None:
    walk = [sys.executable, "-m", "migrations_guide.oscar", "--rows", "500", "--tests", SOME]

    walked = subprocess.run(
        [*walk, "--into", str(tmp_path / "walk")],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": servers.postgres_url(), "BROKER_URL": broker_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    said = walked.stdout
    assert walked.returncode == 0, said
    assert "oversell    1 piece, 3 orders" in said
    assert "rush        5 pieces, 12 customers at once: 5 orders, 7 sold out" in said
    assert said.count("the past    500 rows") == 2
    assert said.index("8  And back") < said.index("Done on")
    with psycopg.connect(servers.postgres_url()) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'oscar_walk_%'")
        assert left.fetchall() == []
