"""Watchfulness: a worker that imports this takes its event loop for dead after a few seconds."""

from microworkflows.worker import watch

watch._LONGEST_SECONDS = 6.0
