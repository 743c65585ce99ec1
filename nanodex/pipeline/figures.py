"""Flattens what a stage reports into names and figures that fit a manifest and a status."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from nanodex.pipeline.stage import Metrics

Figure = int | float | str


def figures_of(metrics: Metrics) -> dict[str, Figure]:
    """Return `metrics` with nested names joined by dots; lists and nulls are left out.

    Infinite values and NaN become text: JSON has no such numbers.
    """
    values = metrics.model_dump(mode="python") if isinstance(metrics, BaseModel) else metrics
    return dict(_flat(values, prefix=""))


def _flat(values: Mapping[str, Any], *, prefix: str) -> Iterator[tuple[str, Figure]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, prefix=f"{prefix}{name}.")
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"{prefix}{name}", str(value)
        elif isinstance(value, int | float | str):
            yield f"{prefix}{name}", value
