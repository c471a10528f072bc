"""What happens while a project runs: recordings by its tests, or by a share of its requests."""

from microworkflows_xray.observed.merging import load_all

__all__ = ["load_all"]
