"""``python -m migrations_guide``: what the engine can do with the stages."""

import sys

from migrations_guide.engine.commands import main

sys.exit(main())
