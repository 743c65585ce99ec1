"""Dataset: turns a brain into training examples whose every answer the source proves."""

from nanodex.dataset.builder import DatasetMetrics, build_dataset

__all__ = ["DatasetMetrics", "build_dataset"]
