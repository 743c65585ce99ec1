"""Two processes with the environment that the Job of a training run gives its Pods."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nanodex_operator.manifests.jobs import build_job
from nanodex_operator.settings import Settings

from nanodex.api.code_expert import CodeExpert
from nanodex.api.identity import Images, Pinned
from nanodex.api.parameters import LoraParameters, TrainingConfig
from nanodex.api.progress import Silent
from nanodex.api.stages import Task
from nanodex.models import BaseModel
from nanodex.trainer import train
from tests.resources import EXPERT, changed

pytestmark = pytest.mark.integration

PAIRS = [(f"Which module holds part {n}?", f"store.part_{n}") for n in range(16)]
CONFIG = TrainingConfig(
    method="lora",
    lora=LoraParameters(r=8, alpha=16),
    epochs=2,
    learning_rate="2e-3",
    batch_size=8,
    micro_batch_size=4,
    early_stopping_patience=0,
    parity_prompts=2,
)
NODE = """
import json, sys
from pathlib import Path
from nanodex.api.parameters import TrainingConfig
from nanodex.api.progress import Silent
from nanodex.models import BaseModel
from nanodex.trainer import train

dataset, model, out, config = sys.argv[1:]
train(
    Path(dataset),
    TrainingConfig.model_validate_json(config),
    base_model=BaseModel(path=Path(model), uri="file:///tiny", revision="tiny-1"),
    out=Path(out),
    checkpoints=Path(out + "-checkpoints"),
    progress=Silent(),
)
"""


def environment(*, rank: int, port: int) -> dict[str, str]:
    """What the Pod `rank` sees, with this machine in the place of the first Pod's name."""
    job = build_job(
        expert=CodeExpert.model_validate(
            changed(EXPERT, {"metadata.namespace": "team-a", "spec.training.nodes": 2})
        ),
        uid="u",
        task=Task.TRAIN,
        key="5e1f" * 16,
        name="ce-payments-api-train-5e1f5e1f5e",
        retry_nonce="",
        pinned=Pinned(
            commit="c" * 40, base_model_revision="r", images=Images(nanodex="n", trainer="t")
        ),
        settings=Settings(
            namespace="n", store="s3://nanodex", nanodex_image="n", trainer_image="t"
        ),
    )
    (container,) = job["spec"]["template"]["spec"]["containers"]
    given = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} <= set(given)
    here: dict[str, Any] = {"RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    kept = {name: value for name, value in given.items() if name not in ("HOME", "HF_HOME")}
    return {**os.environ, **kept, **here, "OMP_NUM_THREADS": "1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def losses(out: Path) -> list[float]:
    record = json.loads((out / "training.json").read_text())
    return [point["loss"] for point in record["curve"]]


@pytest.mark.timeout(900)
def test_two_nodes_end_with_one_adapter_that_learned_what_one_node_learns(
    tmp_path: Path, write_dataset, tiny_model: BaseModel
) -> None:
    dataset = write_dataset(tmp_path / "dataset", PAIRS)
    port = free_port()
    nodes = [
        subprocess.Popen(
            [
                sys.executable, "-c", NODE, dataset, tiny_model.path, tmp_path / f"node-{rank}",
                CONFIG.model_dump_json(),
            ],
            env=environment(rank=rank, port=port),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        said = [node.communicate(timeout=500)[1] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], said
    adapters = [
        (tmp_path / f"node-{rank}" / "adapter" / "adapter_model.safetensors").read_bytes()
        for rank in range(2)
    ]
    assert adapters[0] == adapters[1]
    alone = tmp_path / "alone"
    train(
        dataset,
        CONFIG,
        base_model=tiny_model,
        out=alone,
        checkpoints=tmp_path / "alone-checkpoints",
        progress=Silent(),
    )
    assert losses(tmp_path / "node-0") == pytest.approx(losses(alone), rel=1e-2)
