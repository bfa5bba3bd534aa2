"""Whether bfloat16 may be used: where the processor has it, and only where it gives what float32 gives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from monitor.jobs.region.network import CellNetwork, RegionNetwork

LARGEST_LOGIT_ERROR: Final = 0.1
"""Root mean square difference of logits from float32, over the spread of those."""
LARGEST_GRADIENT_ERROR: Final = 0.25
"""The same of the whole gradient. A convolution that is wrong gives about 1."""

_WINDOWS = 64


def usable_precision(
    network: RegionNetwork | CellNetwork, values: Tensor, label: Tensor, told: Callable[[str], None]
) -> torch.dtype:
    """bfloat16 where it is quick and right on these windows, else float32, with a line that says why.

    Some processors' bfloat16 convolutions have been seen to be wrong, so they are tried: a step on a few windows must
    give the logits and the gradient that single precision gives.

    Parameters
    ----------
    network : RegionNetwork or CellNetwork
        Is not changed.
    values, label : Tensor, shapes (n, SUPPORT_CELLS, 12) and (n,)
        Standardised windows to try it on.
    """
    device = next(network.parameters()).device
    if not _has_bfloat16(device):
        told("float32: this processor has no bfloat16")
        return torch.float32
    some, wanted = values[:_WINDOWS].to(device), label[:_WINDOWS].to(device)
    exact, quick = (_tried(network, some, wanted, precision) for precision in (torch.float32, torch.bfloat16))
    logit_error, gradient_error = (_apart(one, other) for one, other in zip(quick, exact, strict=True))
    figures = f"logits {logit_error:.3f}, gradient {gradient_error:.3f} from float32"
    if not (logit_error <= LARGEST_LOGIT_ERROR and gradient_error <= LARGEST_GRADIENT_ERROR):
        told(f"float32: bfloat16 is wrong on this processor ({figures})")
        return torch.float32
    told(f"bfloat16: right on this processor ({figures})")
    return torch.bfloat16


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # A processor without it would emulate it, slower than float32.
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def _tried(
    network: RegionNetwork | CellNetwork, values: Tensor, label: Tensor, precision: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Logits and the whole gradient of one step, as a copy of the network would make it."""
    tried = copy.deepcopy(network).train()
    context = torch.arange(label.shape[0], device=label.device) % 2 == 0
    with torch.autocast(label.device.type, precision, enabled=precision != torch.float32):
        loss, logits = tried.loss(values, context, label, 0.0)
    loss.backward()  # type: ignore[no-untyped-call]  # the library has it so
    gradients = [one.grad.flatten() for one in tried.parameters() if one.grad is not None]
    return logits.detach().double(), torch.cat(gradients).double()


def _apart(found: Tensor, exact: Tensor) -> float:
    """Root mean square of the difference over the spread; NaN where something is not finite."""
    return float((found - exact).square().mean().sqrt() / (exact - exact.mean()).square().mean().sqrt())
