import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from microworkflows import conf


def test_settings_have_defaults_and_are_read_at_call_time(settings: Settings) -> None:
    settings.MICROWORKFLOWS = {}
    assert conf.current().exchange == "microworkflows"

    settings.MICROWORKFLOWS = {"EXCHANGE": "shop", "MAX_ATTEMPTS": 3}

    assert (conf.current().exchange, conf.current().max_attempts) == ("shop", 3)


def test_unknown_setting_is_refused_with_the_known_ones(settings: Settings) -> None:
    settings.MICROWORKFLOWS = {"MAX_ATTEMPT": 3}

    with pytest.raises(
        ImproperlyConfigured, match=r"MAX_ATTEMPT. Known settings: EXCHANGE, PREFIX, MAX_ATTEMPTS"
    ):
        conf.current()


@pytest.mark.parametrize(
    "wrong",
    [
        {"MAX_ATTEMPTS": 0},
        {"RETRY_DELAY": -1},
        {"RELAY_BATCH": "9"},
        {"EXCHANGE": ""},
        {"MAX_ATTEMPTS": True},
        {"RELAY_BATCH": 0.5},
        {"RETRY_DELAY": float("nan")},
        {"RETRY_DELAY": float("inf")},
        {"RETRY_DELAY": [1, 2]},
    ],
)
def test_value_out_of_range_is_refused_by_name(settings: Settings, wrong: dict[str, object]) -> None:
    settings.MICROWORKFLOWS = wrong

    with pytest.raises(ImproperlyConfigured, match=next(iter(wrong))):
        conf.current()


def test_settings_that_are_no_dictionary_are_refused(settings: Settings) -> None:
    settings.MICROWORKFLOWS = ["EXCHANGE"]

    with pytest.raises(ImproperlyConfigured, match="it must be a dictionary"):
        conf.current()
