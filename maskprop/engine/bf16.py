"""Mixed precision in bfloat16, on GPUs and CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner.amp import autocast
from torch import nn


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """mmengine's ``OptimWrapper`` whose forward runs under autocast in bfloat16.

    bfloat16 has the exponents of float32, so losses are not scaled, and weights, gradients and optimizer state
    stay float32. ``AmpOptimWrapper``, which is for float16, refuses to be built without a GPU. Takes
    ``OptimWrapper``'s arguments: ``optimizer``, ``accumulative_counts``, ``clip_grad``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast around the forward pass of ``model``, and no gradient sync while gradients accumulate."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
