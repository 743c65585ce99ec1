"""The type in which a CPU multiplies matrices while a model is trained.

bfloat16 on CPUs with instructions for it (AVX512-BF16, AMX), where a product takes half the time of
one in float32; others emulate it at a thirteenth of that speed. As on a GPU, which the Trainer sees
to, what is trained, its gradients, the loss and what flows between layers stay float32 (mixed
precision, arXiv 1710.03740).
"""

import torch


def fastest_products() -> torch.dtype:
    """Return the type in which this CPU multiplies matrices fastest: bfloat16 or float32."""
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def mixed_precision(products: torch.dtype) -> torch.autocast:
    """Return a block in which a CPU multiplies matrices in `products`."""
    return torch.autocast("cpu", dtype=products, enabled=products is not torch.float32)
