"""Tests of parcelry; they run from the repository's root with `python -m unittest`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
