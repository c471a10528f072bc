"""Facts that the code tells, without running it."""
