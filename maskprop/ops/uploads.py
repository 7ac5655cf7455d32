"""Python's numbers for a GPU, which nobody waits for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def numbers_on(device: torch.device | str, values: Any, dtype: torch.dtype | None = None) -> Tensor:
    """``torch.tensor(values, dtype=dtype, device=device)``.

    That, and ``new_tensor``, would wait until a GPU has done all of its work.
    """
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)
