import logging.config
import os

import fancy_logging

SECRET_KEY = os.environ["MILL_SECRET"]
DEBUG = fancy_logging.level() == "debug"
LOGGING = {
    "version": 1,
    "handlers": {"file": {"class": "logging.FileHandler", "filename": "mill.log"}},
    "root": {"handlers": ["file"]},
}
logging.config.dictConfig(LOGGING)
INSTALLED_APPS = ["mill.wheel", "mill.sluice", "mill.stone", "mill.nowhere", "mill.flour"]
DATABASES = {"default": {"ENGINE": "mill.no_such_engine", "NAME": "mill"}}
