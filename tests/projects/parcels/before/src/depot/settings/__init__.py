import os

if os.environ.get("DEPOT") == "test":
    from depot.settings.test import *
else:
    from depot.settings.base import *
