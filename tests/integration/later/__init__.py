"""The code of a later release: a function of ``probe`` was renamed and moved, and ``echo`` has lost a consumer."""
