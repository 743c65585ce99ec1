"""Adapters of the embedded model that nobody trained: good ones, and bad ones of each kind."""

import copy
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanodex.api.records import ParityPrompt
from tests.adapter_card import write_card

SYSTEM = "You are the expert on the repository parcelry."
PROMPTS = (
    "Where is Ledger.post defined? It is defined in src/parcelry/ledger.py, line 41.",
    "Which exception does Parcel.weigh raise? It raises ScaleError when the scale is off.",
    "def route(parcel: Parcel) -> Depot: return depots[parcel.zone]",
)


class AdapterWriter:
    """Writes random but strong LoRA adapters, with the log-probabilities of transformers, fp32."""

    def __init__(self, base_model: Path) -> None:
        import torch
        import transformers

        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(base_model)
        self._prompts = [tuple(tokenizer(text)["input_ids"]) for text in PROMPTS]
        self._base: Any = transformers.AutoModelForCausalLM.from_pretrained(
            base_model, dtype=torch.float32
        )
        self._base_rows = self._rows(self._base)

    def write(self, folder: Path, *, seed: int, rank: int = 8, strength: float = 0.15) -> Path:
        import peft
        import torch

        torch.manual_seed(seed)
        config = peft.LoraConfig(
            r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        model: Any = peft.get_peft_model(copy.deepcopy(self._base), config)
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                torch.nn.init.normal_(parameter.data, std=strength)
            if ".lora_" in name:
                # As it is saved: what bf16 rounds away is not part of the adapter.
                parameter.data = parameter.data.to(torch.bfloat16).float()
        model.eval()
        rows = self._rows(model)
        model.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
        parity = [
            ParityPrompt(tokens=tokens, logprobs=row, base_logprobs=base_row)
            for tokens, row, base_row in zip(self._prompts, rows, self._base_rows, strict=True)
        ]
        write_card(folder, system=SYSTEM, rank=rank, parity=parity)
        return folder

    def _rows(self, model: Any) -> list[tuple[float, ...]]:
        return [_logprobs(model, tokens) for tokens in self._prompts]


def _logprobs(model: Any, tokens: tuple[int, ...]) -> tuple[float, ...]:
    import torch

    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([tokens])).logits[0, :-1]
        rows = torch.log_softmax(logits.float(), dim=-1)
    return tuple(float(row[token]) for row, token in zip(rows, tokens[1:], strict=True))


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


def write_adapters(root: Path, *, base_model: Path) -> Adapters:
    import torch
    from safetensors.torch import load_file, save_file

    writer = AdapterWriter(base_model)
    good = writer.write(root / "good", seed=1)

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
        other=writer.write(root / "other", seed=2),
        later=writer.write(root / "later", seed=3),
        third=writer.write(root / "third", seed=4),
        learned_nothing=damaged("learned-nothing", silent),
        wrong_layers=damaged("wrong-layers", shifted),
        wrong_prefix=damaged("wrong-prefix", renamed),
        rank_too_high=configured("rank-too-high", r=64),
        dora=configured("dora", use_dora=True),
        truncated=truncated,
        pickled=pickled,
    )
