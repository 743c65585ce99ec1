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
    torch.ones(16 << 20)  # 64 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(min(faults() for _ in range(3)))
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, how], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has mallopt")
def test_a_block_that_is_asked_for_again_costs_no_page_faults() -> None:
    assert faults("kept") < 10
    assert faults("as it is") > 10
