"""A training process gets SIGTERM, as in an eviction; another machine finishes its work."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

STAGE = """
import json, pathlib, sys, time
from nanodex.api.reasons import Reason
from nanodex.api.stages import UPSTREAM, StageName
from nanodex.artifacts import open_store
from nanodex.errors import Interrupted
from nanodex.pipeline import StopFlag, Workspace, as_lines, finish, run_stage, stop_on_signals
from nanodex.pipeline.runner import Supplies
from nanodex.api.identity import Identity
from nanodex.pipeline.stage import Need

UPSTREAM[StageName.TRAIN] = ()

class Counting:
    name = StageName.TRAIN
    needs = frozenset({Need.CHECKPOINTS})

    def run(self, inputs, *, out, progress):
        done = [int(p.name[5:]) for p in inputs.checkpoints.glob("step-*")
                if (p / "complete.json").is_file()]
        for step in range(max(done, default=0) + 1, 21):
            time.sleep(0.1)
            print(step, flush=True)
            if progress.stopping:
                folder = inputs.checkpoints / f"step-{step:06d}"
                folder.mkdir()
                (folder / "state.json").write_text("{}")
                (folder / "complete.json").write_text("{}")
                raise Interrupted("saved", reason=Reason.INTERRUPTED, hint="run it again")
            progress.update(step, 20, unit="steps")
        (out / "adapter").mkdir()
        (out / "adapter/weights.json").write_text("[]")
        (out / "training.json").write_text("{}")
        return {"steps": 20}

location, cache, log = sys.argv[1:]
nothing = Supplies(checkout=None, tokenizer=None, base_model=None)
identity = Identity(stage=StageName.TRAIN, scope="team-a", key="5" * 64, parameters={}, upstream={})
with stop_on_signals() as stop:
    message = finish(
        StageName.TRAIN,
        lambda: run_stage(
            Counting(), identity=identity, upstream={}, supplies=nothing,
            store=open_store(location), workspace=Workspace(pathlib.Path(cache)), stop=stop,
            display=as_lines,
        ),
        message_path=pathlib.Path(log),
    )
sys.exit(message.exit_code)
"""


def start(location: str, folder: Path) -> "subprocess.Popen[str]":
    folder.mkdir()
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, location, str(folder / "cache"), str(folder / "log")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_it_exits_75_and_another_machine_goes_on(
    s3_location: str, tmp_path: Path, signal_number: signal.Signals
) -> None:
    evicted = start(s3_location, tmp_path / "evicted")
    assert evicted.stdout is not None
    while evicted.stdout.readline() != "5\n":
        assert evicted.poll() is None
    evicted.send_signal(signal_number)
    rest, errors = evicted.communicate(timeout=60)
    assert evicted.returncode == 75, errors
    last = int(rest.splitlines()[-1]) if rest else 5
    message = json.loads((tmp_path / "evicted/log").read_text())
    assert message["reason"] == "Interrupted"

    other = start(s3_location, tmp_path / "other")
    output, errors = other.communicate(timeout=60)
    assert other.returncode == 0, errors
    assert [int(line) for line in output.splitlines()] == list(range(last + 1, 21))
    progress = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert progress[-1]["percent"] == 100

    again = start(s3_location, tmp_path / "again")
    output, _ = again.communicate(timeout=60)
    assert (again.returncode, output) == (0, "")
    assert json.loads((tmp_path / "again/log").read_text())["cached"] is True
