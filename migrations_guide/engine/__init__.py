"""The code behind the guide: it puts the stages together, runs and verifies them, and writes what the pages show of them."""
