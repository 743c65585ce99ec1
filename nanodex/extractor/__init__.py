"""The extract stage: a checkout becomes a graph of symbols and resolved references.

metrics = extract(checkout, ExtractorConfig(), out=out, cache=None, progress=Silent())
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanodex.extractor.extraction import ExtractMetrics, extract

__all__ = ["ExtractMetrics", "extract"]


def __getattr__(name: str) -> Any:
    # Every parser process imports this package; none of them needs the stage and its models.
    if name in __all__:
        from nanodex.extractor import extraction

        return getattr(extraction, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
