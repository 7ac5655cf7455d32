"""The masks of a video's objects, carried into a frame."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class CarriedMasks(NamedTuple):
    """M objects carried into a frame, in the order of the tracker's ``ids``.

    Attributes:
        soft: (M, h, w) float in [0, 1], of the network's whole input at any stride.
        final: (M, H, W) bool, in pixels of the network's input; no pixel belongs to two objects.
    """

    soft: Tensor
    final: Tensor
