"""Sphinx's configuration of the site: `sphinx-build -c deploy/site`. Pages are Markdown (MyST); nothing is fetched from other hosts."""

project = "line-inspector"
html_title = "line-inspector"
extensions = ["myst_parser"]
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
suppress_warnings = ["myst.header"]
