"""How Sphinx builds the documentation: ``make docs``.

The root of the repository is the source folder, so that links between README, docs and results hold here as on GitHub.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # code_reference

project = "breakhis-harness"
author = "The breakhis-harness authors"
release = version = installed_version(project)

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "code_reference"]
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/**",
    "results/README.md",
    "results/*/*.md",
    "results/real/*/*.md",
    "results/real/*/tables/*.md",
]
exclude_patterns = ["[.]*", "*.egg-info", "build", "dist", "runs"]
templates_path = ["templates"]

myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a table begins with a heading of the second level

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_custom_sections = [("Class attributes", "params_style")]
napoleon_use_ivar = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"{project} {release}"
html_additional_pages = {"index": "forward.html"}
html_copy_source = False
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["tables.css"]
