"""Sphinx settings of the pages; `agelib.site` stages what they are made of."""

from pathlib import Path

project = "Age from faces"
author = "The contributors"
project_copyright = "The contributors; MIT licence"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

# Notebooks are shown as they are committed.
nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 3

# NumPy style; what a function takes stands in its signature and its docstring, once.
napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = "Age from faces"
html_static_path = [str(Path(__file__).parent / "static")]
html_favicon = str(Path(__file__).parent / "static" / "icon.svg")
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sphinx = False
# A footer without a link to the outside.
html_theme_options = {"footer_icons": []}
