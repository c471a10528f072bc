"""Tests of what holds the project together: imports, the wheel, the containers, the Makefile."""
