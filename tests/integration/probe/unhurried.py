"""Leisure: a worker that imports this ends no bundle because of the time that its steps take."""

from microworkflows import bundling

bundling._LONGEST_SECONDS = 60.0
