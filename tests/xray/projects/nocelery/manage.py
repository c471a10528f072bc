import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "code"))
os.environ["DJANGO_SETTINGS_MODULE"] = "station.settings"
