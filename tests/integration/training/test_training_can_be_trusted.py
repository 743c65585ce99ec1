"""What a training run promises, on a model so small that a promise costs a second."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nanodex.api.parameters import LoraParameters, TrainingConfig
from nanodex.api.progress import Silent
from nanodex.api.reasons import ExitCode, Reason
from nanodex.api.records import AdapterCard
from nanodex.errors import Interrupted, NotServable, UserError
from nanodex.models import BaseModel
from nanodex.trainer import train
from tests.integration.training.conftest import PAIRS, WriteDataset

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CONFIG = TrainingConfig(
    method="lora",
    lora=LoraParameters(r=8, alpha=16),
    epochs=2,
    learning_rate="5e-3",
    batch_size=8,
    micro_batch_size=8,
    checkpoint_steps=100,
    early_stopping_patience=0,
    parity_prompts=3,
)


class StopAt(Silent):
    """Asks to stop after a step, as SIGTERM does."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.seen: list[int] = []

    def update(
        self, done: int, total: int, *, unit: str, message: str = "", **figures: float
    ) -> None:
        self.seen.append(done)
        self.stopping = done >= self.step


def run(
    dataset: Path,
    model: BaseModel,
    name: str,
    *,
    config: TrainingConfig = CONFIG,
    progress: Silent | None = None,
) -> Path:
    out = dataset.parent / name
    train(
        dataset,
        config,
        base_model=model,
        out=out,
        checkpoints=dataset.parent / f"{name}-checkpoints",
        progress=progress or Silent(),
    )
    return out


def test_it_leaves_the_arithmetic_of_the_process_as_it_was(
    dataset: Path, tiny_model: BaseModel
) -> None:
    run(dataset, tiny_model, "out")

    assert sys.float_info.min / 2 > 0


def test_nobody_outside_is_told_that_somebody_trains(
    dataset: Path, tiny_model: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl.trainer import base_trainer

    told: list[dict[str, Any]] = []
    monkeypatch.setattr(base_trainer, "send_telemetry", lambda **said: told.append(said))
    # Where it is set TRL says nothing.
    monkeypatch.delenv("CI", raising=False)
    run(dataset, tiny_model, "out")

    assert told == []


def digests(out: Path) -> dict[str, str]:
    return {
        str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(out.rglob("*"))
        if file.is_file()
    }


def test_a_run_that_is_stopped_and_taken_up_gives_the_same_bytes(
    dataset: Path, tiny_model: BaseModel
) -> None:
    whole = run(dataset, tiny_model, "whole")
    with pytest.raises(Interrupted) as caught:
        run(dataset, tiny_model, "stopped", progress=StopAt(3))
    assert caught.value.exit_code is ExitCode.INTERRUPTED
    assert not (dataset.parent / "stopped").exists()
    watcher = StopAt(1000)
    resumed = run(dataset, tiny_model, "stopped", progress=watcher)
    # The report of step 3 asks to stop, step 4 sees it.
    assert watcher.seen == [5, 6]
    assert digests(resumed) == digests(whole)


def test_checkpoints_hold_no_pickle(dataset: Path, tiny_model: BaseModel) -> None:
    with pytest.raises(Interrupted):
        run(dataset, tiny_model, "stopped", progress=StopAt(2))
    files = list((dataset.parent / "stopped-checkpoints").rglob("*.*"))
    assert {file.suffix for file in files if file.is_file()} == {".json", ".safetensors"}


def test_smaller_batches_on_the_device_learn_the_same(dataset: Path, tiny_model: BaseModel) -> None:
    config = CONFIG.model_copy(update={"micro_batch_size": 2})
    one = json.loads((run(dataset, tiny_model, "one") / "training.json").read_text())
    four = json.loads(
        (run(dataset, tiny_model, "four", config=config) / "training.json").read_text()
    )
    losses = [[point["loss"] for point in record["curve"]] for record in (one, four)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_what_is_published_is_an_allow_list_without_a_trace_of_the_machine(
    dataset: Path, tiny_model: BaseModel
) -> None:
    from safetensors.torch import load_file

    out = run(dataset, tiny_model, "out")
    assert set(digests(out)) == {
        "adapter/README.md",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "adapter/nanodex.json",
        "training.json",
    }
    for file in out.rglob("*.*"):
        assert str(dataset.parent).encode() not in file.read_bytes()
        assert str(tiny_model.path).encode() not in file.read_bytes()
    weights = load_file(out / "adapter" / "adapter_model.safetensors")
    assert {str(tensor.dtype) for tensor in weights.values()} == {"torch.bfloat16"}
    assert len(weights) == 2 * 2 * 7
    record = json.loads((out / "training.json").read_text())
    assert [point["step"] for point in record["curve"]] == [1, 2, 3, 4, 5, 6]
    assert record["curve"][-1]["loss"] < record["curve"][0]["loss"]


def test_parity_prompts_are_what_the_saved_adapter_says(
    dataset: Path, tiny_model: BaseModel
) -> None:
    import torch
    from peft import PeftModel

    from nanodex.models.loading import load_causal_lm

    folder = run(dataset, tiny_model, "out") / "adapter"
    card = AdapterCard.model_validate_json((folder / "nanodex.json").read_text())
    assert card.base_model_revision == "tiny-1"
    assert len(card.parity) == 3
    model: Any = PeftModel.from_pretrained(load_causal_lm(tiny_model), str(folder)).eval()
    for prompt in card.parity:
        ids = torch.tensor([prompt.tokens])
        with torch.no_grad():
            logprobs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        said = logprobs.gather(1, ids[0, 1:, None])[:, 0].tolist()
        assert said == pytest.approx(prompt.logprobs, abs=1e-4)
        distance = [abs(a - b) for a, b in zip(said, prompt.base_logprobs, strict=True)]
        assert sum(distance) / len(distance) > 0.01


def test_a_held_out_loss_that_stops_falling_ends_the_run_with_the_best_weights(
    dataset: Path, tiny_model: BaseModel, write_dataset: WriteDataset
) -> None:
    # The held-out examples contradict the training set: the better it learns, the worse they fit.
    other = write_dataset(dataset.parent / "other", [(q, "Nowhere at all!") for q, _ in PAIRS])
    (dataset / "validation.jsonl").write_bytes((other / "validation.jsonl").read_bytes())
    config = CONFIG.model_copy(
        update={"epochs": 40, "checkpoint_steps": 4, "early_stopping_patience": 2}
    )
    record = json.loads(
        (run(dataset, tiny_model, "out", config=config) / "training.json").read_text()
    )
    looks = [point["loss"] for point in record["heldOut"]]
    assert record["steps"] < 120
    assert min(looks) == looks[-3]


def test_a_diverging_run_ends_with_its_reason(dataset: Path, tiny_model: BaseModel) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    broken = dataset.parent / "broken"
    shutil.copytree(tiny_model.path, broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError) as caught:
        run(dataset, BaseModel(path=broken, uri="file:///broken", revision="b"), "out")
    assert caught.value.reason is Reason.NAN_LOSS
    assert caught.value.exit_code is ExitCode.TRAINING_FAILED
    assert not (dataset.parent / "out").exists()


def test_a_rank_above_the_servers_is_refused_before_training(
    dataset: Path, tiny_model: BaseModel
) -> None:
    with pytest.raises(NotServable) as caught:
        train(
            dataset,
            CONFIG,
            base_model=tiny_model,
            out=dataset.parent / "out",
            checkpoints=dataset.parent / "checkpoints",
            progress=StopAt(0),
            max_rank=1,
        )
    assert caught.value.exit_code is ExitCode.RANK_TOO_HIGH


def test_adapters_that_vllm_refuses_are_refused_before_training() -> None:
    from peft import LoraConfig

    from nanodex.trainer.lora import require_servable

    for refused in (
        LoraConfig(use_dora=True),
        LoraConfig(bias="all"),
        LoraConfig(modules_to_save=["lm_head"]),
        LoraConfig(rank_pattern={"q_proj": 4}),
    ):
        with pytest.raises(NotServable):
            require_servable(refused, max_rank=64)


def test_a_four_bit_base_trains_on_a_cpu_and_its_adapter_fits_the_plain_base(
    dataset: Path, tiny_model: BaseModel
) -> None:
    config = CONFIG.model_copy(
        update={"method": "qlora", "checkpoint_steps": 2, "early_stopping_patience": 3}
    )
    out = run(dataset, tiny_model, "qlora", config=config)
    record = json.loads((out / "training.json").read_text())
    assert record["curve"][-1]["loss"] < record["curve"][0]["loss"]
    assert [point["step"] for point in record["heldOut"]] == [2, 4, 6]
    card = AdapterCard.model_validate_json((out / "adapter" / "nanodex.json").read_text())
    assert card.parity[0].logprobs != card.parity[0].base_logprobs


def test_examples_that_are_too_long_are_left_out_and_none_left_is_an_error(
    dataset: Path, tiny_model: BaseModel, write_dataset: WriteDataset
) -> None:
    write_dataset(dataset, [*PAIRS, ("Tell me all.", "word " * 200)])
    config = CONFIG.model_copy(update={"max_seq_length": 200, "epochs": 1})
    record = json.loads(
        (run(dataset, tiny_model, "out", config=config) / "training.json").read_text()
    )
    assert (record["examples"], record["dropped"]) == (24, 1)
    short = CONFIG.model_copy(update={"max_seq_length": 64})
    with pytest.raises(UserError) as caught:
        run(dataset, tiny_model, "none", config=short)
    assert caught.value.reason is Reason.NOTHING_TO_LEARN
