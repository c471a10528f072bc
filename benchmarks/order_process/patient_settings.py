"""The settings that ``BASE_SETTINGS`` names, with a payment gateway that takes its time."""

import os
from importlib import import_module

globals().update(vars(import_module(os.environ["BASE_SETTINGS"])))

PAYMENT_GATEWAY = "benchmarks.order_process.patient_gateway.PatientGateway"
