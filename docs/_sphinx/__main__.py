"""Writes what of the pages is generated: the options of the commands, and the index for language models."""

import os

import django

from docs._sphinx import contents

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from docs._sphinx import commands, metrics  # noqa: E402  (they import models)

for made in (commands, metrics):
    page = contents.ROOT / f"docs/reference/{made.__name__.rpartition('.')[2]}.md"
    page.write_text(made.written(page.read_text()))
(contents.ROOT / "docs/llms.txt").write_text(contents.llms(base="docs"))
