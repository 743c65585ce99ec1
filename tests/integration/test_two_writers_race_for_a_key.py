"""Two processes publish different results of the same keys at the same time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nanodex.api.stages import StageName
from nanodex.artifacts import find, open_store, verify

pytestmark = pytest.mark.integration

KEYS = 25
WRITER = """
import json, pathlib, sys
from nanodex.api.stages import StageName
from nanodex.artifacts import open_store, publish
location, folder, name, keys = sys.argv[1:]
store = open_store(location)
out = pathlib.Path(folder, name)
out.mkdir()
(out / "training.json").write_text(json.dumps({"by": name}))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(keys)):
    key = f"{number:064x}"
    published = publish(out, store=store, stage=StageName.TRAIN, key=key, scope="team-a")
    print(json.dumps([published.first, published.manifest.digest]), flush=True)
"""


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_the_first_manifest_wins_and_both_end_well(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    s3 = kind == "s3"
    location = request.getfixturevalue("s3_location") if s3 else str(tmp_path / "store")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, location, str(tmp_path), name, str(KEYS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    answers = [writer.communicate(timeout=60)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    one, other = ([json.loads(line) for line in answer.splitlines()] for answer in answers)
    store = open_store(location)
    for number in range(KEYS):
        (one_first, one_digest), (other_first, other_digest) = one[number], other[number]
        assert one_first != other_first
        assert one_digest == other_digest
        manifest = find(store, scope="team-a", stage=StageName.TRAIN, key=f"{number:064x}")
        assert manifest is not None
        assert manifest.digest == one_digest
        assert verify(manifest, store=store) == ()
