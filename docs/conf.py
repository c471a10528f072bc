"""The documentation's site, which `make docs` builds with Sphinx. It needs no network, neither to be built nor to be read."""

import os
import sys
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

# The source folder is the repository, so that a link between two pages is the same here and where the code is read.
include_patterns = [
    "docs/**",
    "migrations_guide/*.md",
    "migrations_guide/oscar/*.md",
    *(f"{name}.md" for name in ("README", "SECURITY", "CHANGELOG", "CONTRIBUTING")),
]
exclude_patterns = [
    ".*",
    "var",
    "apps",
    "benchmarks",
    "migrations_guide/stages",
    "migrations_guide/oscar/stages",
    "project",
    "tests",
]
root_doc = "docs/index"

project = "django-microworkflows"
copyright = "django-microworkflows contributors"  # noqa: A001  (Sphinx's name)
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docs._sphinx.contents",
    "docs._sphinx.diagrams",
]
nitpicky = True
nitpick_ignore_regex = [
    # Types in signatures: other projects' pages are not at hand, and these of the kit are no public names.
    (r"py:(class|obj)", r"(celery|collections|datetime|django|random|uuid)\..+"),
    (r"py:(class|obj)", r"microworkflows\.\w+(\.\w+)+"),
    (r"py:exc", r"ImproperlyConfigured"),
]

myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = project
html_static_path = ["_sphinx/static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5c3f", "color-brand-content": "#0b6e4a"},
    "dark_css_variables": {"color-brand-primary": "#63cfa2", "color-brand-content": "#63cfa2"},
}
