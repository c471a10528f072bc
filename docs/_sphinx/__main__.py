"""Writes what of the pages is generated: the options of the commands, and the index for language models."""

import os

import django

from docs._sphinx import contents

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from docs._sphinx import commands  # noqa: E402  (the commands import models)

page = contents.ROOT / "docs/reference/commands.md"
page.write_text(commands.written(page.read_text()))
(contents.ROOT / "docs/llms.txt").write_text(contents.llms(base="docs"))
