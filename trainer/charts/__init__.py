"""Charts by matplotlib: drawn once on axes, shown as pixels or as SVG that follows the colours of a page."""
