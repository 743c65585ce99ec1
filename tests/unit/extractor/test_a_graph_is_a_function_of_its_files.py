"""Equal sources give equal bytes: whatever was cached, in whatever order, on how many processes."""

import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from nanodex.api.parameters import ExtractorConfig
from nanodex.api.progress import Silent
from nanodex.extractor import ExtractMetrics, extract
from nanodex.source.checkout import Checkout, SourceFile

_FIXTURE = Path(__file__).parents[2] / "fixtures/languages/python/depot"
_PIECES = {
    path.relative_to(_FIXTURE).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(_FIXTURE.rglob("*.py"))
}
# What an edit leaves of a file.
_EDITS = (
    lambda text: text,
    lambda text: text + "\n\ndef added(shelf: 'Shelf'):\n    shelf.put(Parcel('x'))\n",
    lambda text: text.replace("class Shelf", "class Rack"),
    lambda text: "",
)


def _extract(
    root: Path, sources: dict[str, str], out: Path, cache: Path | None, *, workers: int, seed: int
) -> ExtractMetrics:
    for path, text in sources.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    files = [SourceFile(path, len(text.encode())) for path, text in sources.items()]
    random.Random(seed).shuffle(files)
    return extract(
        Checkout(root, "depot", str(seed), tuple(files), ()),
        ExtractorConfig(workers=workers),
        out=out,
        cache=cache,
        progress=Silent(),
    )


@settings(max_examples=3)
@given(
    edits=st.lists(
        st.dictionaries(st.sampled_from(sorted(_PIECES)), st.integers(0, len(_EDITS) - 1)),
        min_size=1,
        max_size=1,
    ),
    seed=st.integers(0, 99),
)
def test_incremental_equals_clean_byte_for_byte(edits, seed):
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        for step, edit in enumerate([{}, *edits]):
            sources = {path: _EDITS[edit.get(path, 0)](text) for path, text in _PIECES.items()}
            incremental, clean = base / "incremental.sqlite", base / "clean.sqlite"
            _extract(
                base / f"a{step}", sources, incremental, base / "cache", workers=1, seed=seed + step
            )
            if step == 0:
                continue  # fills the cache
            _extract(base / f"b{step}", sources, clean, None, workers=2, seed=seed)
            assert incremental.read_bytes() == clean.read_bytes()


def test_a_second_run_parses_nothing(tmp_path):
    first = _extract(
        tmp_path / "s", _PIECES, tmp_path / "1.sqlite", tmp_path / "c", workers=1, seed=1
    )
    second = _extract(
        tmp_path / "s", _PIECES, tmp_path / "2.sqlite", tmp_path / "c", workers=1, seed=2
    )
    assert (first.cached, second.cached) == (0, len(_PIECES))
    assert (tmp_path / "1.sqlite").read_bytes() == (tmp_path / "2.sqlite").read_bytes()


def test_a_damaged_cache_is_thrown_away(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c/records.sqlite").write_bytes(b"no database" * 500)
    metrics = _extract(
        tmp_path / "s", _PIECES, tmp_path / "1.sqlite", tmp_path / "c", workers=1, seed=1
    )
    assert metrics.cached == 0 and metrics.parsed == len(_PIECES)
