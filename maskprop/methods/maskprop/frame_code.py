"""What the mask propagation branch keeps of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

KEY = 'propagation_head'  # of a frame's code


class FrameCode(NamedTuple):
    """All that the branch needs of a frame, computed once per frame. B frames, H x W cells.

    Attributes:
        motion: (B, offset_channels, H, W), the offset block's first convolution of the features.
        shortcut: (B, offset_channels, H, W), its shortcut.
        values: (B, R, K, H, W), the value maps that are looked up when the frame is a source.
        match: (B, R, H, W), the frame's own term of the segmentation when it is a target.
        attention: (B, 1, H, W), the instance-agnostic attention map A in [0, 1].
        features: (B, C, H, W), the features themselves, or None: only the literal form needs them.
    """

    motion: Tensor
    shortcut: Tensor
    values: Tensor
    match: Tensor
    attention: Tensor
    features: Tensor | None = None

    def frame(self, index: int) -> FrameCode:
        """The code of one frame, with a batch dimension of 1."""
        return self.frames(index, index + 1)

    def frames(self, start: int, end: int) -> FrameCode:
        """The codes of a range of frames."""
        return FrameCode(*(None if t is None else t[start:end] for t in self))

    def select(self, rows: Tensor) -> FrameCode:
        """The codes of these frames; ``rows``: (M,) long."""
        return FrameCode(*(None if t is None else t[rows] for t in self))

    def split(self) -> list[FrameCode]:
        """The code of each frame."""
        columns = ([None] * len(self.motion) if t is None else t.split(1) for t in self)
        return [FrameCode(*fields) for fields in zip(*columns, strict=True)]

    @classmethod
    def as_targets(
        cls, codes: Sequence[FrameCode], fields: Sequence[str] = ('motion', 'shortcut', 'match', 'attention')
    ) -> FrameCode:
        """Codes of several frames as one, with what a target needs or with these fields; the others are None."""
        joined = {name: torch.cat([getattr(code, name) for code in codes]) for name in fields}
        return cls(**{**dict.fromkeys(cls._fields), **joined})
