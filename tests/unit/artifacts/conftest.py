from collections.abc import Callable
from pathlib import Path

import pytest

from nanodex.api.stages import StageName
from nanodex.artifacts import ObjectStore, Published, open_store, publish

KEY = "0" * 63 + "1"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "store"))


Publisher = Callable[..., Published]


@pytest.fixture
def publish_files(store: ObjectStore, tmp_path: Path) -> Publisher:
    """Publish files given as `{path: content}`."""

    def write_and_publish(files: dict[str, bytes], *, key: str = KEY) -> Published:
        folder = tmp_path / f"out-{key[-4:]}-{len(list(tmp_path.iterdir()))}"
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        return publish(folder, store=store, stage=StageName.EXTRACT, key=key, scope="team-a")

    return write_and_publish
