"""Freed memory stays with the process, which shows in its page faults."""

import subprocess
import sys

import pytest

MEASURE = """
import resource, sys, torch
from nanodex.trainer.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        # As the layers of a step do: held together, and freed at its end.
        held = [torch.ones(size << 18) for size in (1, 40, 3, 48, 2, 64)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, how], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has mallopt")
def test_memory_that_is_asked_for_again_costs_few_page_faults() -> None:
    assert faults("kept") < faults("as it is") / 10
