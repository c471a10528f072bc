"""Impatience: a worker that imports this lets events wait for a process for a second only."""

from microworkflows.worker import consumer

consumer.LONGEST_IN_LINE_SECONDS = 1.0
