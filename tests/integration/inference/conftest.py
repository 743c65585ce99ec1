"""Real adapters on the real embedded model, and one real vLLM that serves them to all tests."""

import copy
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nanodex.api.code_expert import BaseModelRef
from nanodex.api.parameters import InferenceConfig
from nanodex.config import default_cache
from nanodex.inference import ServedExpert, ServerInfo, start_detached, stop
from nanodex.models import resolve_base_model

SYSTEM = "You are the expert on the repository parcelry."
PROMPTS = (
    "Where is Ledger.post defined? It is defined in src/parcelry/ledger.py, line 41.",
    "Which exception does Parcel.weigh raise? It raises ScaleError when the scale is off.",
    "def route(parcel: Parcel) -> Depot: return depots[parcel.zone]",
)


@pytest.fixture(scope="session")
def base_model() -> Path:
    ref = BaseModelRef(uri="bundled://smollm2-135m-instruct")
    return resolve_base_model(ref, cache=default_cache()).path


@pytest.fixture(scope="session")
def make_adapter(base_model: Path) -> Callable[..., Path]:
    """Writes a random but strong LoRA adapter, with the log-probabilities of transformers, fp32."""
    import peft
    import torch
    import transformers

    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(base_model)
    prompts = [tuple(tokenizer(text)["input_ids"]) for text in PROMPTS]

    def logprobs(model: Any, tokens: tuple[int, ...]) -> tuple[float, ...]:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([tokens])).logits[0, :-1]
            rows = torch.log_softmax(logits.float(), dim=-1)
        return tuple(float(row[token]) for row, token in zip(rows, tokens[1:], strict=True))

    base: Any = transformers.AutoModelForCausalLM.from_pretrained(base_model, dtype=torch.float32)
    base_rows = [logprobs(base, tokens) for tokens in prompts]

    def write(folder: Path, *, seed: int, rank: int = 8, strength: float = 0.15) -> Path:
        torch.manual_seed(seed)
        config = peft.LoraConfig(
            r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        model: Any = peft.get_peft_model(copy.deepcopy(base), config)
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                torch.nn.init.normal_(parameter.data, std=strength)
            if ".lora_" in name:
                # As it is saved: what bf16 rounds away is not part of the adapter.
                parameter.data = parameter.data.to(torch.bfloat16).float()
        model.eval()
        rows = [logprobs(model, tokens) for tokens in prompts]
        model.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
        card = {
            "repository": "parcelry",
            "system": SYSTEM,
            "baseModel": "bundled://smollm2-135m-instruct",
            "baseModelRevision": "",
            "rank": rank,
            "parity": [
                {"tokens": tokens, "logprobs": row, "baseLogprobs": base_row}
                for tokens, row, base_row in zip(prompts, rows, base_rows, strict=True)
            ],
        }
        (folder / "nanodex.json").write_text(json.dumps(card))
        return folder

    return write


@dataclass(frozen=True)
class Adapters:
    """Folders of adapters, good and bad."""

    good: Path
    other: Path
    later: Path
    third: Path
    learned_nothing: Path
    wrong_layers: Path
    wrong_prefix: Path
    rank_too_high: Path
    dora: Path
    truncated: Path
    pickled: Path


@pytest.fixture(scope="session")
def adapters(
    make_adapter: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Adapters:
    import torch
    from safetensors.torch import load_file, save_file

    root = tmp_path_factory.mktemp("adapters")
    good = make_adapter(root / "good", seed=1)

    def damaged(name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
        folder = shutil.copytree(good, root / name)
        weights = folder / "adapter_model.safetensors"
        save_file(change(load_file(weights)), weights, metadata={"format": "pt"})
        return folder

    def configured(name: str, **fields: Any) -> Path:
        folder = shutil.copytree(good, root / name)
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
        return folder

    def shifted(tensors: dict[str, Any]) -> dict[str, Any]:
        return {
            name.replace(".layers.3.", ".layers.X.")
            .replace(".layers.20.", ".layers.3.")
            .replace(".layers.X.", ".layers.20."): tensor
            for name, tensor in tensors.items()
        }

    def silent(tensors: dict[str, Any]) -> dict[str, Any]:
        return {
            name: torch.zeros_like(tensor) if ".lora_B." in name else tensor
            for name, tensor in tensors.items()
        }

    def renamed(tensors: dict[str, Any]) -> dict[str, Any]:
        return {
            name.replace("base_model.model.model.", "base_model.model.transformer."): tensor
            for name, tensor in tensors.items()
        }

    truncated = shutil.copytree(good, root / "truncated")
    os.truncate(truncated / "adapter_model.safetensors", 100_000)
    pickled = shutil.copytree(good, root / "pickled")
    torch.save({}, pickled / "training_args.bin")
    return Adapters(
        good=good,
        other=make_adapter(root / "other", seed=2),
        later=make_adapter(root / "later", seed=3),
        third=make_adapter(root / "third", seed=4),
        learned_nothing=damaged("learned-nothing", silent),
        wrong_layers=damaged("wrong-layers", shifted),
        wrong_prefix=damaged("wrong-prefix", renamed),
        rank_too_high=configured("rank-too-high", r=64),
        dora=configured("dora", use_dora=True),
        truncated=truncated,
        pickled=pickled,
    )


@pytest.fixture(scope="session")
def make_expert() -> Callable[..., ServedExpert]:
    return expert


def expert(name: str, folder: Path, number: int) -> ServedExpert:
    return ServedExpert(name=f"team/{name}", digest=f"sha256:{number:012x}{0:052x}", folder=folder)


class Spoken:
    """Progress that remembers what it was told."""

    stopping = False

    def __init__(self) -> None:
        self.messages: list[str] = []

    def update(
        self, done: int, total: int, *, unit: str, message: str = "", **figures: float
    ) -> None:
        if message not in self.messages:
            self.messages.append(message)


@dataclass(frozen=True)
class Served:
    """The server under test."""

    info: ServerInfo
    config: InferenceConfig
    progress: Spoken
    state: Path


@pytest.fixture(scope="session")
def served(
    base_model: Path, adapters: Adapters, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    # Two good adapters and two that only their numbers give away: all the slots there are.
    config = InferenceConfig(port=0, max_model_len=512, max_loaded=4, sync_seconds="0.5")
    names = (
        "good", "other", "learned_nothing", "wrong_layers", "wrong_prefix", "rank_too_high",
        "dora", "truncated", "pickled",
    )  # fmt: skip
    experts = [
        expert(name.replace("_", "-"), getattr(adapters, name), number)
        for number, name in enumerate(names, start=1)
    ]
    state = tmp_path_factory.mktemp("serve")
    progress = Spoken()
    # What an earlier server left behind when it was killed.
    (state / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(state / "run" / "engine.sock"))
    started = time.monotonic()
    info = start_detached(
        config, base_model=base_model, experts=experts, state=state, progress=progress
    )
    seconds = time.monotonic() - started
    print(f"\nvLLM and {len(experts)} adapters: {seconds:.0f} s")
    yield Served(info=info, config=config, progress=progress, state=state)
    stop(state)
