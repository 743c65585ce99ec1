"""What a machine cannot do is left out on a laptop, and only there: in CI it is a failure."""

import os
from typing import TypeVar

import pytest

from hack.debian import Lacks
from hack.kind.build import NoToolchain, Unreachable

T = TypeVar("T")


def made(found: T | Exception) -> T:
    """Return what was made before the tests began.

    Where it could not be made, the test is skipped if the machine lacks something and CI is not
    `true`, and fails else; both with the reason.
    """
    if not isinstance(found, Exception):
        return found
    if isinstance(found, NoToolchain | Unreachable | Lacks) and os.environ.get("CI") != "true":
        pytest.skip(str(found))
    pytest.fail(str(found), pytrace=False)
