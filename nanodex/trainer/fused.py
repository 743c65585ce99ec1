"""An adapter's linear layers on a CPU: each one product, and one for all that read one tensor.

peft computes `result + B(A(x)) * scaling`, and autograd the same backwards: beside the matrix
products six passes over tensors as large as the layer's output. A small model on a CPU is bound by
memory in such passes. With y the output, s the scaling and W, A, B the weights (LoRA, arXiv
2106.09685, section 4.1), the sums are taken inside products of matrices beside each other:

    low = x Aᵀ      y = [x low] [W sB]ᵀ       dA = dlowᵀ x
    dlow = dy sB   dx = [dy dlow] [W; A]      dB = s dyᵀ low

Both are parts of one matrix [W sB; A 0], of which a step writes A and B anew. Layers that read the
same tensor (query, key and value; gate and up) share it, W and A below each other and their B on
the diagonal: one product in place of two or three, and one sum for dx.

Where the CPU multiplies bfloat16 itself (nanodex.models.precision), these products and that of the
output layer are taken in it. What lies between the products of a gated layer stays in it too: half
the memory to move where a layer is widest. The adapter's weights and gradients are kept in float32.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import torch

_GATED = ("gate_proj", "up_proj")
# Layers of one module that the decoders of transformers give the same tensor.
_TOGETHER = (("q_proj", "k_proj", "v_proj"), _GATED)


@contextmanager
def adapters_fused(model: Any, *, products: torch.dtype) -> Iterator[int]:
    """Compute the adapters of `model` in fused products within the block; yield how many.

    Left as they are: layers on a GPU or in 4 bits, where peft's own way is the right one, and
    those with dropout.

    Args:
        model: a peft model with one active adapter.
        products: type of the products, those of the output layer too.
    """
    replaced: list[Any] = []
    for layers, kept in _groups(model, products=products):
        group = _Group(layers, products=products, kept=kept)
        for place, layer in enumerate(layers):
            layer.forward = partial(group.output, place)
        replaced += layers
    count = len(replaced)
    head = model.get_output_embeddings()
    if count and _is_frozen(head):
        head.forward = partial(_output, head, head.weight.detach().to(products))
        replaced.append(head)
    try:
        yield count
    finally:
        for layer in replaced:
            del layer.forward


def _groups(model: Any, *, products: torch.dtype) -> Iterator[tuple[list[Any], torch.dtype]]:
    """Yield layers that are computed together, and the type of what they return."""
    from peft.tuners.lora.layer import Linear

    for module in model.modules():
        layers = {
            name: child
            for name, child in module.named_children()
            if isinstance(child, Linear) and _is_plain(child)
        }
        for names in _TOGETHER:
            if layers.keys() >= set(names):
                # What reads them must take that type too.
                inside = names is _GATED and "down_proj" in layers
                kept = products if inside else torch.float32
                yield [layers.pop(name) for name in names], kept
        for layer in layers.values():
            yield [layer], torch.float32


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


class _Group:
    """Layers that read one tensor: the first that is asked has all of them computed.

    Attributes:
        width: N, of all outputs together.
        depth: K, of the input.
        outputs: where each layer's output is in N.
        ranks: where each adapter's rank is in R, that of all together.
        matrix: [N + R, K + R], the [W sB; A 0] of the module's docstring.
        kept: type of the outputs.
    """

    def __init__(self, layers: Sequence[Any], *, products: torch.dtype, kept: torch.dtype) -> None:
        (adapter,) = layers[0].active_adapters
        frozen = torch.cat([layer.base_layer.weight.detach() for layer in layers])
        self.width, self.depth = frozen.shape
        self.outputs = _parts(layer.base_layer.out_features for layer in layers)
        self.ranks = _parts(layer.r[adapter] for layer in layers)
        self.scalings = [layer.scaling[adapter] for layer in layers]
        self.biases = [layer.base_layer.bias for layer in layers]
        self.kept = kept
        rank = self.ranks[-1].stop
        self.matrix = torch.zeros(self.width + rank, self.depth + rank, dtype=products)
        self.matrix[: self.width, : self.depth] = frozen
        self._trained = [
            matrix.weight
            for layer in layers
            for matrix in (layer.lora_A[adapter], layer.lora_B[adapter])
        ]
        self._input: torch.Tensor | None = None
        self._computed: dict[int, torch.Tensor] = {}

    def output(self, place: int, x: torch.Tensor) -> torch.Tensor:
        """Return what the layer at `place` makes of `x`, [..., K]."""
        if self._input is not x or place not in self._computed:
            adapted: Any = _Adapted.apply
            with torch.autocast("cpu", enabled=False):
                self._input, self._computed = x, dict(enumerate(adapted(x, self, *self._trained)))
        result = self._computed.pop(place)
        if not self._computed:
            self._input = None
        return result

    def low_part(self, rank: slice) -> slice:
        """Return where `rank` is beside the input, in K + R."""
        return slice(self.depth + rank.start, self.depth + rank.stop)

    def given_part(self, rank: slice) -> slice:
        """Return where `rank` is beside the outputs, in N + R."""
        return slice(self.width + rank.start, self.width + rank.stop)


def _parts(widths: Iterator[int]) -> list[slice]:
    return [slice(*ends) for ends in pairwise(accumulate(widths, initial=0))]


class _Adapted(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, group: _Group, *trained: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        width, depth, matrix = group.width, group.depth, group.matrix
        parts = zip(group.outputs, group.ranks, group.scalings, strict=True)
        for (output, rank, scaling), a, b in zip(parts, trained[::2], trained[1::2], strict=True):
            matrix[group.given_part(rank), :depth] = a
            matrix[output, group.low_part(rank)] = b * scaling
        rows = x.reshape(-1, depth)
        read = matrix.new_empty(len(rows), matrix.shape[1])
        read[:, :depth] = rows
        read[:, depth:] = read[:, :depth] @ matrix[width:, :depth].t()
        product = read @ matrix[:width].t()
        ctx.save_for_backward(read)
        ctx.group, ctx.type = group, x.dtype
        results = []
        for output, bias in zip(group.outputs, group.biases, strict=True):
            result = product[:, output].to(group.kept, copy=True)
            if bias is not None:
                result += bias
            results.append(result.view(*x.shape[:-1], -1))
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        group: _Group = ctx.group
        width, depth, matrix = group.width, group.depth, group.matrix
        (read,) = ctx.saved_tensors
        given = matrix.new_empty(len(read), len(matrix))
        of_b = []
        parts = zip(group.outputs, group.ranks, group.scalings, strict=True)
        for gradient, (output, rank, scaling) in zip(gradients, parts, strict=True):
            given[:, output] = gradient.reshape(len(read), -1)
            given[:, group.given_part(rank)] = (
                given[:, output] @ matrix[output, group.low_part(rank)]
            )
            of_b.append((given[:, output].t() @ read[:, group.low_part(rank)]).float() * scaling)
        of_a = (given[:, width:].t() @ read[:, :depth]).float()
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (given @ matrix[:, :depth]).to(ctx.type).view(*gradients[0].shape[:-1], -1)
        pairs = zip((of_a[rank] for rank in group.ranks), of_b, strict=True)
        return of_x, None, *(gradient for pair in pairs for gradient in pair)
