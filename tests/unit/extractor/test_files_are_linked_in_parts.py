"""Files are linked in parts, by processes of their own: the same rows, or none."""

import os

import pytest

from nanodex.api.parameters import ExtractorConfig
from nanodex.api.progress import Silent
from nanodex.extractor import extract, parts
from nanodex.extractor.linker import Linker
from nanodex.source.checkout import Checkout, SourceFile

_SOURCES = {
    "a.py": "import json\nimport re\ndef read(text):\n    return json.loads(text)\n",
    "b.py": "import re\nfrom a import read\ndef find(x):\n    return re.search('x', read(x))\n",
    "c.py": "import json\nfrom b import find\ndef both(x):\n    return json.dumps(find(x))\n",
}


@pytest.fixture
def graph(tmp_path):
    """Extract the sources with a number of processes, and return the graph's bytes."""

    def make(*, workers: int) -> bytes:
        for path, text in _SOURCES.items():
            (tmp_path / path).write_text(text)
        out = tmp_path / "graph.sqlite"
        files = tuple(SourceFile(path, len(text)) for path, text in _SOURCES.items())
        extract(
            Checkout(tmp_path, "sample", "", files, ()),
            ExtractorConfig(workers=workers),
            out=out,
            cache=None,
            progress=Silent(),
        )
        return out.read_bytes()

    return make


def test_parts_and_the_number_of_processes_change_no_byte(graph, monkeypatch):
    whole = graph(workers=1)
    monkeypatch.setattr(parts, "_PART_BYTES", 1)  # each file is a part
    assert graph(workers=1) == whole
    assert graph(workers=3) == whole


def test_a_process_that_dies_leaves_no_graph(graph, monkeypatch, tmp_path):
    monkeypatch.setattr(parts, "_PART_BYTES", 1)
    link = Linker.link

    def dies(linker, unit):
        if unit.path == "b.py":
            os._exit(9)
        return link(linker, unit)

    monkeypatch.setattr(Linker, "link", dies)
    with pytest.raises(RuntimeError, match=r"b\.py to b\.py ended with 9"):
        graph(workers=2)
    assert not (tmp_path / "graph.sqlite").exists()
