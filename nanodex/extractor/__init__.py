"""The extract stage: a checkout becomes a graph of symbols and resolved references.

metrics = extract(checkout, ExtractorConfig(), out=Path("graph.sqlite"), cache=None, progress=Silent())
"""

from nanodex.extractor.extraction import ExtractMetrics, extract

__all__ = ["ExtractMetrics", "extract"]
