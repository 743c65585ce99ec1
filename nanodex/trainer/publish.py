"""Writes what a training run publishes: four files, and nothing that can be unpickled."""

import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file

from nanodex.api.parameters import TrainingConfig
from nanodex.api.records import AdapterCard, DatasetCard, TrainingRecord
from nanodex.models import BaseModel
from nanodex.models.loading import load_causal_lm
from nanodex.trainer.data_loader import TokenizedExample
from nanodex.trainer.parity import chosen_for_parity, parity_prompts

_README = """\
---
base_model: {base_model}
library_name: peft
pipeline_tag: text-generation
tags: [lora, nanodex]
---

# Expert on {repository}

A LoRA adapter (rank {rank}, alpha {alpha}, all linear layers, bfloat16) that answers questions
about `{repository}`, snapshot `{snapshot}`. Trained on {examples} examples about {facts} facts,
each proven by the source.

| | |
|---|---|
| base model | `{base_model}` |
| revision | `{revision}` |
| method | {method}, {epochs} epochs, learning rate {learning_rate} ({scheduler}), seed {seed} |

Ask it with the system message it was trained with:

```
{system}
```

`nanodex.json` holds prompts with log-probabilities; a server compares them with its own before it
answers
with this adapter. Answers can be wrong: evaluation.json of the same run says how often.
"""


def publish(
    model: Any,
    *,
    examples: list[TokenizedExample],
    card: DatasetCard,
    config: TrainingConfig,
    base_model: BaseModel,
    record: TrainingRecord,
    out: Path,
) -> None:
    """Write adapter/ and training.json to `out`.

    Args:
        model: the trained PeftModel; its trained weights are rounded to bfloat16.
        examples: of training; some of them prove to a server what it serves.
        card: of the dataset.
        config: parameters of the run.
        base_model: what was adapted.
        record: the loss curve.
        out: folder of the artifact.
    """
    folder = out / "adapter"
    _round_to_bfloat16(model)
    _save_adapter(model, folder=folder, base_model=base_model)
    served = _as_served(model, folder=folder, config=config, base_model=base_model)
    prompts = chosen_for_parity(examples, count=config.parity_prompts)
    adapter_card = AdapterCard(
        repository=card.repository,
        system=card.system,
        base_model=base_model.uri,
        base_model_revision=base_model.revision,
        rank=config.lora.r,
        parity=parity_prompts(served, prompts),
    )
    _save_cards(adapter_card, dataset=card, config=config, folder=folder)
    text = json.dumps(record.model_dump(mode="json"), indent=1)
    (out / "training.json").write_text(text + "\n")


def _as_served(model: Any, *, folder: Path, config: TrainingConfig, base_model: BaseModel) -> Any:
    """Return the adapter on the base as an engine serves it: not in 4 bits."""
    if config.method != "qlora":
        return model.eval()
    return PeftModel.from_pretrained(load_causal_lm(base_model), str(folder)).eval()


def _round_to_bfloat16(model: Any) -> None:
    """Make the trained weights of `model` what will be saved, in their own precision."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(parameter.to(torch.bfloat16).to(parameter.dtype))


def _save_adapter(model: Any, *, folder: Path, base_model: BaseModel) -> None:
    """Write adapter_config.json and adapter_model.safetensors (bfloat16) of a PeftModel.

    The same weights give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    tensors = {
        name: state[name].detach().cpu().to(torch.bfloat16).contiguous() for name in sorted(state)
    }
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = model.peft_config["default"].to_dict()
    config["base_model_name_or_path"] = base_model.uri
    config["inference_mode"] = True
    text = json.dumps(config, indent=2, sort_keys=True, default=_plain)
    (folder / "adapter_config.json").write_text(text + "\n")


def _save_cards(
    card: AdapterCard, *, dataset: DatasetCard, config: TrainingConfig, folder: Path
) -> None:
    """Write nanodex.json for the server and README.md for people."""
    (folder / "nanodex.json").write_text(card.model_dump_json() + "\n")
    readme = _README.format(
        base_model=card.base_model,
        revision=card.base_model_revision,
        repository=card.repository,
        snapshot=dataset.snapshot,
        system=card.system,
        rank=card.rank,
        alpha=config.lora.alpha,
        examples=dataset.examples,
        facts=dataset.facts,
        method="QLoRA (NF4)" if config.method == "qlora" else "LoRA",
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        scheduler=config.scheduler,
        seed=config.seed,
    )
    (folder / "README.md").write_text(readme)


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
