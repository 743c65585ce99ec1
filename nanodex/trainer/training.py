"""The train stage: dataset and base model in; adapter, its cards and the loss curve out."""

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nanodex.api.keys import canonical_json
from nanodex.api.parameters import TrainingConfig
from nanodex.api.progress import Progress
from nanodex.api.reasons import Reason
from nanodex.api.records import DatasetCard
from nanodex.errors import Interrupted, UserError
from nanodex.models import BaseModel
from nanodex.trainer.allocator import keep_freed_memory
from nanodex.trainer.data_loader import (
    TokenizedExample,
    read_examples,
    tokenize,
    training_order,
)
from nanodex.trainer.denormals import denormals_flushed
from nanodex.trainer.figures import TrainMetrics, training_record
from nanodex.trainer.lora import lora_config, require_servable

_HIGHEST_RATE = 0.01
_HIGHEST_RANK = 512


def train(
    dataset: Path,
    config: TrainingConfig,
    *,
    base_model: BaseModel,
    out: Path,
    checkpoints: Path,
    progress: Progress,
    max_rank: int = _HIGHEST_RANK,
) -> TrainMetrics:
    """Train an adapter on `dataset` and write it to `out`.

    A complete checkpoint of the same run below `checkpoints` is taken up; on a CPU in float32 the
    adapter is then the same, byte for byte, as without the stop. Nothing is written to `out` before
    the last step.

    Args:
        dataset: folder with train.jsonl, validation.jsonl and dataset.json.
        config: parameters.
        base_model: resolved base model.
        out: folder for adapter/ and training.json.
        checkpoints: folder that outlives the process.
        progress: told of each step, and asked whether to stop.
        max_rank: highest rank that the server takes.

    Raises:
        NotServable: vLLM would not load the adapter.
        UserError: the dataset or a parameter is wrong, or the loss is not finite.
        Interrupted: `progress.stopping` was seen; a checkpoint was saved.
    """
    _require_sense(config)
    adapter_config = lora_config(config.lora)
    require_servable(adapter_config, max_rank=max_rank)
    card = _dataset_card(dataset)

    # torch and TRL take many seconds to import; nothing of them is needed to refuse.
    from datasets import Dataset, disable_progress_bars

    from nanodex.models.attention import attending
    from nanodex.models.chat import ChatFormat
    from nanodex.models.loading import load_causal_lm, load_tokenizer
    from nanodex.models.precision import fastest_products
    from nanodex.trainer import checkpoints as saved
    from nanodex.trainer import loss, sft
    from nanodex.trainer.attention import attend_within
    from nanodex.trainer.fused import adapters_fused
    from nanodex.trainer.packing import shared_prefix
    from nanodex.trainer.publish import publish

    disable_progress_bars()
    keep_freed_memory()
    tokenizer = load_tokenizer(base_model)
    chat = ChatFormat(tokenizer)
    lines = read_examples(dataset / "train.jsonl")
    examples = tokenize(lines, chat=chat, max_tokens=config.max_seq_length)
    held_out_examples = tokenize(
        read_examples(dataset / "validation.jsonl"), chat=chat, max_tokens=config.max_seq_length
    )
    order = training_order(len(examples), epochs=config.epochs, seed=config.seed)
    prefix = shared_prefix(examples)
    run = _run_digest(dataset, config=config, base_model=base_model)
    devices = _processes()
    accumulation = _accumulation(config, devices=devices)
    per_step = min(config.micro_batch_size, config.batch_size) * accumulation * devices
    total_steps = -(-len(order) // per_step)
    held_out = loss.HeldOut(
        _held_out_batches(held_out_examples),
        patience=config.early_stopping_patience,
    )
    conductor = sft.Conductor(
        progress=progress, held_out=held_out, checkpoint_steps=config.checkpoint_steps
    )
    # Before the model is loaded: torch's threads begin with the mode of the one that begins them.
    with denormals_flushed(), tempfile.TemporaryDirectory(prefix="nanodex-train-") as scratch:
        trainer = sft.ExpertTrainer(
            run=run,
            checkpoint_folder=checkpoints,
            held_out=held_out,
            model=attending(
                load_causal_lm(base_model, four_bits=config.method == "qlora"), attend_within
            ),
            args=sft.sft_config(
                config, scratch=Path(scratch), total_steps=total_steps, accumulation=accumulation
            ),
            data_collator=sft.collator(examples, prefix=prefix),
            train_dataset=Dataset.from_dict({"example": order}),
            processing_class=tokenizer,
            peft_config=adapter_config,
            callbacks=[conductor],
        )
        resume = saved.latest(checkpoints, run=run)
        resumed_at = int(resume.name.removeprefix("step-")) if resume is not None else 0
        started = time.monotonic()
        with adapters_fused(trainer.model, products=fastest_products()):
            trainer.train(resume_from_checkpoint=str(resume) if resume is not None else None)
        seconds = time.monotonic() - started

    model: Any = trainer.model
    steps = trainer.state.global_step
    if steps < total_steps and not conductor.stopped_early:
        raise Interrupted(
            f"stopped at step {steps} of {total_steps}; a checkpoint was saved",
            reason=Reason.INTERRUPTED,
            hint="run the stage again: it goes on from there",
        )
    if conductor.stopped_early:
        loss.set_trained_weights(model, held_out.best)
    record = training_record(
        trainer.state.log_history,
        examples=len(examples),
        dropped=len(lines) - len(examples),
        config=config,
        prefix=prefix,
        steps=steps,
    )
    publish(
        model,
        examples=examples,
        card=card,
        config=config,
        base_model=base_model,
        record=record,
        out=out,
    )
    tokens = sum(len(examples[index].tokens) for index in order[resumed_at * per_step :])
    recent = [point.loss for point in record.curve[-10:]]
    return TrainMetrics(
        steps=steps,
        examples=len(examples),
        dropped=record.dropped,
        tokens=tokens,
        seconds=round(seconds, 3),
        tokens_per_second=round(tokens / max(seconds, 1e-6), 1),
        loss=sum(recent) / max(len(recent), 1),
        held_out_loss=held_out.best_loss,
        trained_parameters=sum(value.numel() for value in loss.trained_weights(model).values()),
        resumed_at=resumed_at,
        stopped_early=conductor.stopped_early,
        device=str(model.device),
    )


def _require_sense(config: TrainingConfig) -> None:
    rate = float(config.learning_rate)
    micro = min(config.micro_batch_size, config.batch_size)
    if not 0 < rate <= _HIGHEST_RATE:
        raise UserError(
            f"learningRate {config.learning_rate} is not in (0, {_HIGHEST_RATE}]",
            reason=Reason.INVALID_INPUT,
            hint="2e-4 is usual for QLoRA, 2e-3 for a very small model",
        )
    if config.batch_size % micro:
        raise UserError(
            f"microBatchSize {micro} does not divide batchSize {config.batch_size}",
            reason=Reason.INVALID_INPUT,
            hint="choose a divisor of training.batchSize",
        )


def _processes() -> int:
    # torchrun's contract.
    return int(os.environ.get("WORLD_SIZE", "1"))


def _accumulation(config: TrainingConfig, *, devices: int) -> int:
    return max(1, config.batch_size // (min(config.micro_batch_size, config.batch_size) * devices))


def _dataset_card(dataset: Path) -> DatasetCard:
    try:
        return DatasetCard.model_validate_json((dataset / "dataset.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            "the dataset has no valid dataset.json",
            reason=Reason.INVALID_INPUT,
            hint="run the dataset stage first",
        ) from error


def _run_digest(dataset: Path, *, config: TrainingConfig, base_model: BaseModel) -> str:
    """Name what is trained; a checkpoint of anything else must not be taken up."""
    digest = hashlib.sha256(
        canonical_json({"config": config.model_dump(), "baseModel": base_model.revision})
    )
    for name in ("train.jsonl", "validation.jsonl"):
        digest.update(hashlib.sha256((dataset / name).read_bytes()).digest())
    return digest.hexdigest()


def _held_out_batches(examples: list[TokenizedExample]) -> list[dict[str, Any]]:
    from nanodex.trainer.loss import as_tensors
    from nanodex.trainer.packing import pack, shared_prefix

    prefix = shared_prefix(examples)
    return [
        as_tensors(pack(examples[start : start + 16], prefix=prefix))
        for start in range(0, len(examples), 16)
    ]
