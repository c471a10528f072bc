"""What the documentation's site is built with, and what of its pages is generated."""
