"""An adapter's linear layers on a CPU, in the products alone.

peft computes `result + B(A(x)) * scaling`, and autograd the same backwards: beside the matrix
products six passes over tensors as large as the layer's output. A small model on a CPU is bound by
memory in such passes. Here each sum is taken inside the product that makes its second term
(`addmm_`), and the scaling goes to the tensors of the adapter's rank. With y the output, s the
scaling and W, A, B the weights (LoRA, arXiv 2106.09685, section 4.1):

    y  = x Wᵀ + s (x Aᵀ) Bᵀ
    dx = dy W + (s dy B) A        dA = (s dy B)ᵀ x        dB = s dyᵀ (x Aᵀ)

Where the CPU multiplies bfloat16 itself (nanodex.models.precision), the products with frozen
weights, most of the arithmetic, are taken in it, all others in float32. Those weights, that of the
output layer among them, are brought into it once, not once a step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch


@contextmanager
def adapters_fused(model: Any, *, products: torch.dtype) -> Iterator[int]:
    """Compute the adapters of `model` in products alone within the block; yield how many.

    Left as they are: layers on a GPU or in 4 bits, where peft's own way is the right one, and
    those with dropout.

    Args:
        model: a peft model with one active adapter.
        products: type of the products with frozen weights, those of the output layer too.
    """
    from peft.tuners.lora.layer import Linear

    adapters = (layer for layer in model.modules() if isinstance(layer, Linear))
    layers: list[Any] = [layer for layer in adapters if _is_plain(layer)]
    for layer in layers:
        weight = layer.base_layer.weight.detach().to(products)
        layer.forward = partial(_forward, layer, weight)
    replaced = list(layers)
    head = model.get_output_embeddings()
    if layers and _is_frozen(head):
        head.forward = partial(_output, head, head.weight.detach().to(products))
        replaced.append(head)
    try:
        yield len(layers)
    finally:
        for layer in replaced:
            del layer.forward


def _is_plain(layer: Any) -> bool:
    (adapter,) = layer.active_adapters
    return (
        _is_frozen(layer.base_layer)
        and adapter not in layer.lora_variant
        and isinstance(layer.lora_dropout[adapter], torch.nn.Identity)
    )


def _is_frozen(layer: Any) -> bool:
    return (
        type(layer) is torch.nn.Linear
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype == torch.float32
        and not layer.weight.requires_grad
    )


def _output(layer: Any, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.linear(x.to(weight.dtype), weight, layer.bias)


def _forward(layer: Any, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    (adapter,) = layer.active_adapters
    adapted: Any = _AdaptedLinear.apply
    with torch.autocast("cpu", enabled=False):
        result: torch.Tensor = adapted(
            x.float(),
            weight,
            layer.base_layer.bias,
            layer.lora_A[adapter].weight,
            layer.lora_B[adapter].weight,
            layer.scaling[adapter],
        )
    return result


class _AdaptedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        low = rows @ a.t()
        result = (rows.to(weight.dtype) @ weight.t()).float()
        if bias is not None:
            result += bias
        result.addmm_(low, b.t(), alpha=scaling)
        ctx.save_for_backward(rows, low, weight, a, b)
        ctx.scaling = scaling
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, low, weight, a, b = ctx.saved_tensors
        (given,) = gradients
        given_rows = given.reshape(-1, given.shape[-1])
        of_low = (given_rows @ b).mul_(ctx.scaling)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (given_rows.to(weight.dtype) @ weight).float().addmm_(of_low, a)
            of_x = of_x.view(*given.shape[:-1], -1)
        of_a = of_low.t() @ rows
        of_b = (given_rows.t() @ low).mul_(ctx.scaling)
        return of_x, None, None, of_a, of_b, None
