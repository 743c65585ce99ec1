"""One page about one run: what was read, what was taught, how it was learned, what it knows.

    page = build_report(extract=None, brain=..., dataset=..., train=..., evaluation=..., out=...)

The page is a single HTML file without scripts and without requests, so that it can be mailed,
archived beside the artifacts and printed. Equal artifacts give equal bytes.
"""

from nanodex.report.page import build_report

__all__ = ["build_report"]
