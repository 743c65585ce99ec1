"""The type in which a machine multiplies matrices.

bfloat16 on GPUs and on CPUs with instructions for it (AVX512-BF16, AMX), where a product takes half
the time of one in float32; other CPUs emulate it at a thirteenth of that speed. In training only
products are taken in it: what is trained, sums of gradients, the loss and what flows between layers
stay float32 (mixed precision, arXiv 1710.03740), but for the inside of gated layers on a CPU
(nanodex.trainer.fused). An evaluation answers in it altogether.
"""

import torch


def fastest_products() -> torch.dtype:
    """Return the type in which this machine multiplies matrices fastest: bfloat16 or float32."""
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native or torch.cuda.is_available() else torch.float32


def mixed_precision(products: torch.dtype) -> torch.autocast:
    """Return a block in which a CPU multiplies matrices in `products`."""
    return torch.autocast("cpu", dtype=products, enabled=products is not torch.float32)
