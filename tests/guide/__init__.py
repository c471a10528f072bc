"""Tests of the guide: each stage runs and does what a shop must, and its tool does what it says."""
