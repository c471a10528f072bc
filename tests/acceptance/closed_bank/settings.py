"""Settings of the shop's payments with a bank that may be closed, and little time to pay."""

from datetime import timedelta

from project.settings import *  # noqa: F403

PAYMENT_GATEWAY = "tests.acceptance.closed_bank.gateway.Bank"
PAY_WITHIN = timedelta(seconds=8)
