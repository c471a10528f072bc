"""Upgrades: today's code finishes what the code of earlier versions left behind; ``freeze.py`` keeps how it was left."""
