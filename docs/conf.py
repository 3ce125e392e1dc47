"""Sphinx configuration; `make docs` builds the pages and runs the notebook."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from pages import write_pages

write_pages()

project = "mutascope"
extensions = ["myst_nb"]
html_theme = "furo"
html_title = "mutascope"
html_show_copyright = False
exclude_patterns = ["images"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True
