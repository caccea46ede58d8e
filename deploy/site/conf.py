"""Sphinx's configuration of the site: `sphinx-build -c deploy/site`. Pages are Markdown (MyST); nothing is fetched from other hosts."""

from typing import Any

from deploy.site.docstrings import to_restructured_text

project = "line-inspector"
html_title = "line-inspector"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
html_theme = "furo"
html_show_copyright = False
html_copy_source = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0f766e", "color-brand-content": "#0f766e"},
    "dark_css_variables": {"color-brand-primary": "#5eead4", "color-brand-content": "#5eead4"},
}
# Examples of settings and of terminals are no Python, which Sphinx would take every block without a language for.
highlight_language = "none"
# Pages of the repository that were written for its readers may begin with a smaller heading.
# AnomalyClass and a few others are names of both messages and the domain: either is right.
suppress_warnings = ["myst.header", "ref.python"]
# The pages of docs/api. Types of other packages (numpy, torch) have no page here that a signature could link to.
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "model_config, model_post_init"}
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True
nitpick_ignore_regex = [("py:.*", ".*")]


def write_for_sphinx(_app: object, what: str, _name: str, item: object, _options: object, lines: list[str]) -> None:
    """Prepare a docstring; a value without one of its own has that of its type, which says nothing of it."""
    if what == "data" and item.__doc__ == type(item).__doc__:
        lines.clear()
    to_restructured_text(lines)


def setup(app: Any) -> None:  # noqa: ANN401 - Sphinx is not installed where types are checked
    """Connect what this configuration adds; after napoleon, whose sections must be found first."""
    app.connect("autodoc-process-docstring", write_for_sphinx, priority=600)
