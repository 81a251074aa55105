"""The choice of oneDNN, a library that multiplies on the CPU, where torch's own choice is slower."""

import torch
from torch import Tensor

from seamark.networks.plain_form import in_plain_form

_BUILT_IN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
_FUSED = ("_convolution_pointwise", "_linear_pointwise")
"""Private operators of torch; where one is missing, layers run one after the other."""


def settled(features: Tensor) -> bool:
    """Say whether oneDNN is the library to name for features: those of single precision on the CPU."""
    single = features.device.type == "cpu" and features.dtype == torch.float32
    return _BUILT_IN and single and not in_plain_form()


def in_one_pass(features: Tensor) -> bool:
    """Say whether oneDNN may do a layer and what follows in one pass, which has no gradient and no mixed precision."""
    return (
        settled(features)
        and not features.requires_grad
        and not torch.is_autocast_enabled("cpu")
        and all(hasattr(torch.ops.mkldnn, name) for name in _FUSED)
    )


def multiplies_bfloat16() -> bool:
    """Say whether this processor has instructions for products in bfloat16 and torch may use them."""
    has = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return _BUILT_IN and torch.backends.cpu.get_cpu_capability() == "AVX512" and has is not None and bool(has())
