"""An audit as one HTML page that works offline: see page.py for what it shows, packed.py for how it stays small."""

from analyzer.report.html.page import render_html

__all__ = ["render_html"]
