"""What training computes itself is what peft and torch compute, quicker."""

from pathlib import Path
from typing import Any

import pytest

from nanodex.api.parameters import LoraParameters
from nanodex.models import BaseModel

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LORA = LoraParameters(r=8, alpha=16)


def test_packed_rows_give_the_loss_and_gradients_of_examples_alone(
    dataset: Path, tiny_model: BaseModel
) -> None:
    import torch
    from peft import get_peft_model

    from nanodex.models.attention import attending
    from nanodex.models.chat import ChatFormat
    from nanodex.models.loading import load_causal_lm, load_tokenizer
    from nanodex.trainer.attention import attend_within
    from nanodex.trainer.data_loader import read_examples, tokenize
    from nanodex.trainer.lora import lora_config
    from nanodex.trainer.loss import answer_loss, as_tensors
    from nanodex.trainer.packing import pack, shared_prefix

    chat = ChatFormat(load_tokenizer(tiny_model))
    examples = tokenize(read_examples(dataset / "train.jsonl"), chat=chat, max_tokens=512)
    torch.manual_seed(1)
    model: Any = get_peft_model(
        attending(load_causal_lm(tiny_model), attend_within), lora_config(LORA)
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)

    def loss_and_gradients(batches: list[Any]) -> tuple[float, dict[str, Any]]:
        model.zero_grad()
        total = 0.0
        for batch in batches:
            loss, _ = answer_loss(model, as_tensors(batch))
            loss.backward()
            total += loss.item()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}
        return total, gradients

    prefix = shared_prefix(examples)
    assert prefix > 20
    alone, expected = loss_and_gradients([pack([e], prefix=0) for e in examples])
    together, gradients = loss_and_gradients([pack(examples, prefix=prefix)])
    assert together == pytest.approx(alone, rel=1e-5)
    for name, gradient in gradients.items():
        scale = float(expected[name].abs().max())
        assert float((gradient - expected[name]).abs().max()) <= 1e-5 * max(scale, 1.0), name


@pytest.mark.parametrize(
    ("precision", "close"),
    # bfloat16 has 8 bits, and a gradient has gone through many products.
    [("float32", 1e-5), ("bfloat16", 2**-5)],
)
def test_fused_adapters_give_the_loss_and_gradients_of_peft(
    dataset: Path, tiny_model: BaseModel, precision: str, close: float
) -> None:
    import torch
    from peft import get_peft_model

    from nanodex.models.attention import attending
    from nanodex.models.chat import ChatFormat
    from nanodex.models.loading import load_causal_lm, load_tokenizer
    from nanodex.models.precision import mixed_precision
    from nanodex.trainer.attention import attend_within
    from nanodex.trainer.data_loader import read_examples, tokenize
    from nanodex.trainer.fused import adapters_fused
    from nanodex.trainer.lora import lora_config
    from nanodex.trainer.loss import answer_loss, as_tensors
    from nanodex.trainer.packing import pack

    torch.manual_seed(17)
    chat = ChatFormat(load_tokenizer(tiny_model))
    examples = tokenize(read_examples(dataset / "train.jsonl"), chat=chat, max_tokens=512)
    batch = as_tensors(pack(examples, prefix=0))
    base = attending(load_causal_lm(tiny_model), attend_within)
    # Some models (Qwen) have biases in some layers.
    base.model.layers[0].self_attn.q_proj.bias = torch.nn.Parameter(torch.randn(64))
    model: Any = get_peft_model(base, lora_config(LORA))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)

    def loss_and_gradients(products: torch.dtype) -> tuple[float, dict[str, Any]]:
        model.zero_grad()
        with mixed_precision(products):
            loss, _ = answer_loss(model, batch)
        loss.backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}
        return loss.item(), gradients

    def change(weights: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in weights:
                    parameter.copy_(weights[name])

    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    after = {name: value + 0.05 * torch.randn_like(value) for name, value in before.items()}
    expected = []
    for weights in (before, after):
        change(weights)
        expected.append(loss_and_gradients(torch.float32))
    products = getattr(torch, precision)
    fused = []
    with adapters_fused(model, products=products) as layers:
        for weights in (before, after):
            change(weights)
            fused.append(loss_and_gradients(products))
        with torch.no_grad():
            # As a look at held-out examples measures it.
            looked = answer_loss(model, batch)[0].item()
    assert layers == 2 * 7
    assert looked == pytest.approx(expected[1][0], rel=close)
    for (loss, gradients), (wanted_loss, wanted) in zip(fused, expected, strict=True):
        assert loss == pytest.approx(wanted_loss, rel=close)
        assert gradients.keys() == wanted.keys()
        for name, gradient in gradients.items():
            assert gradient.dtype == torch.float32
            error = float((gradient - wanted[name]).norm() / wanted[name].norm())
            assert error <= close, name
    assert loss_and_gradients(torch.float32)[0] == expected[1][0], "peft's own layers are back"


def test_adapters_with_dropout_or_in_four_bits_are_left_to_peft(tiny_model: BaseModel) -> None:
    from peft import get_peft_model

    from nanodex.models.loading import load_causal_lm
    from nanodex.models.precision import fastest_products
    from nanodex.trainer.fused import adapters_fused
    from nanodex.trainer.lora import lora_config

    dropping = LoraParameters(r=8, alpha=16, dropout="0.1")
    for base, parameters in (
        (load_causal_lm(tiny_model), dropping),
        (load_causal_lm(tiny_model, four_bits=True), LORA),
    ):
        model = get_peft_model(base, lora_config(parameters))
        with adapters_fused(model, products=fastest_products()) as layers:
            assert layers == 0
