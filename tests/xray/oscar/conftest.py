"""The shop's own tests run in its own environment."""

collect_ignore = ["project"]
