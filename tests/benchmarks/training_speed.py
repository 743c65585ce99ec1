"""Tokens a second in training: nanodex against a plain TRL loop on the same examples."""

import json
import shutil
from pathlib import Path
from typing import Any

from code_stages import examples, extraction, summaries
from measuring import Prepared, measure, median_seconds, peak_megabytes, rate, repeat

from nanodex.api.parameters import TrainingConfig
from nanodex.api.progress import Silent
from nanodex.models import BaseModel
from nanodex.trainer.denormals import denormals_flushed

HELD_OUT_EXAMPLES = 8
BATCH = 8
CONFIG = TrainingConfig(
    method="lora",
    learning_rate="2e-3",
    epochs=1,
    batch_size=BATCH,
    micro_batch_size=BATCH,
    scheduler="linear",
)


def small_dataset(repository: Path, *, scratch: Path, trained: int, base_model: BaseModel) -> Path:
    """Return a dataset folder with the first `trained` examples of what `repository` teaches."""
    graph, brain, whole = scratch / "graph.sqlite", scratch / "brain", scratch / "whole"
    measure(extraction, repository, graph, None)
    measure(summaries, graph, brain, base_model)
    measure(examples, brain, whole)
    small = scratch / "small"
    shutil.copytree(whole, small)
    for name, kept in (("train.jsonl", trained), ("validation.jsonl", HELD_OUT_EXAMPLES)):
        lines = (whole / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (small / name).write_text("".join(lines[:kept]), encoding="utf-8")
    return small


def our_training(dataset: Path, base_model: BaseModel, out: Path) -> Prepared:
    """Prepare the train stage; it loads the model itself, so its own seconds are reported."""
    from nanodex.trainer import train

    def work() -> dict[str, Any]:
        shutil.rmtree(out, ignore_errors=True)
        metrics = train(
            dataset,
            CONFIG,
            base_model=base_model,
            out=out / "trained",
            checkpoints=out / "checkpoints",
            progress=Silent(),
        )
        return metrics.model_dump()

    return work


def plain_trl(dataset: Path, base_model: BaseModel, out: Path) -> Prepared:
    """Prepare the comparison: SFTTrainer as its documentation shows it, padded batches, LoRA."""
    import torch
    from datasets import Dataset, disable_progress_bars
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(base_model.path)
    rows = []
    for line in (dataset / "train.jsonl").read_text(encoding="utf-8").splitlines():
        messages = json.loads(line)["messages"]
        rows.append({"prompt": messages[:-1], "completion": messages[-1:]})
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base_model.path, dtype=torch.float32),
        args=SFTConfig(
            output_dir=str(out / "trl"),
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            learning_rate=float(CONFIG.learning_rate),
            lr_scheduler_type=CONFIG.scheduler,
            gradient_checkpointing=False,
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
            save_strategy="no",
            report_to=[],
            logging_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=CONFIG.lora.r, lora_alpha=CONFIG.lora.alpha, target_modules="all-linear"
        ),
    )

    def work() -> dict[str, Any]:
        with denormals_flushed():
            trainer.train()
        return {}

    return work


def figures(
    repository: Path, *, scratch: Path, trained: int, repeats: int, base_model: BaseModel
) -> dict[str, Any]:
    """Measure both loops; the adapter stays in `scratch`/ours/trained."""
    dataset = small_dataset(repository, scratch=scratch, trained=trained, base_model=base_model)
    ours = repeat(repeats, our_training, dataset, base_model, scratch / "ours")
    plain = repeat(repeats, plain_trl, dataset, base_model, scratch / "plain")
    own_seconds = sorted(run.result["seconds"] for run in ours)
    metrics = ours[0].result
    tokens = _tokens(dataset, base_model)
    return {
        "examples": metrics["examples"],
        "tokens": tokens,
        "device": metrics["device"],
        "tokensPerSecond": {
            "best": round(tokens / own_seconds[0], 1),
            "median": round(tokens / own_seconds[len(own_seconds) // 2], 1),
        },
        "plainTrlTokensPerSecond": rate(tokens, plain),
        "timesPlainTrl": round(median_seconds(plain) / own_seconds[len(own_seconds) // 2], 2),
        "peakMegabytes": peak_megabytes(ours),
        "plainTrlPeakMegabytes": peak_megabytes(plain),
    }


def _tokens(dataset: Path, base_model: BaseModel) -> int:
    """Tokens of all examples as they are, each with its own system message and no padding."""
    from nanodex.models.chat import ChatFormat
    from nanodex.models.loading import load_tokenizer
    from nanodex.trainer.data_loader import read_examples, tokenize

    chat = ChatFormat(load_tokenizer(base_model))
    lines = read_examples(dataset / "train.jsonl")
    return sum(len(one.tokens) for one in tokenize(lines, chat=chat, max_tokens=1 << 20))
