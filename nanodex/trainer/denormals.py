"""Subnormal numbers cost a CPU up to a hundred times as long: training takes them as zero.

The mode belongs to the thread, so whoever trains inside a longer-lived process must get it back:
without subnormal numbers `sys.float_info.min / 2` is 0, and other code may rely on that it is not.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Take subnormal numbers as zero within the block, and as before after it."""
    import torch

    flushed_before = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)
