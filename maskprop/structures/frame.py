"""What a stream keeps of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maskprop.ops.masks import paste_binary_masks
from maskprop.ops.uploads import numbers_on


class PerInstance(NamedTuple):
    """A head's code of a frame that has one entry for each instance, and follows the instances that are kept.

    Attributes:
        values: N entries: a (N, ...) tensor or a sequence.
    """

    values: Tensor | Sequence

    def select(self, rows: Sequence[int]) -> PerInstance:
        """The entries of these instances."""
        if isinstance(self.values, Tensor):
            return PerInstance(self.values[numbers_on(self.values.device, rows, torch.long)])
        return PerInstance([self.values[row] for row in rows])


@dataclass
class Frame:
    """What a stream keeps of a frame: N instances on a map of H x W cells.

    Attributes:
        masks: (N, H, W) float, soft masks at the propagation stride.
        boxes: (N, 4) float on the CPU, (x1, y1, x2, y2) in pixels of the video.
        class_scores: N dicts ``{label: score}``, every class that the detector saw there.
        rles: N final masks of the detector. On a GPU a thread makes them, and the first look at one waits.
        size: (height, width) of the video in pixels.
        map_size: (height, width) of the map in pixels of the video, padding included.
        codes: what the model's heads made of the frame, by the heads' keys in the config; a :class:`PerInstance`
            where it has an entry for each instance. Only the codes that a part of the stream ``needs``.
        image: (3, H, W) uint8 RGB on the CPU, pixels of the network's input, padding included; None unless a part
            of the stream needs it.
        memo: what a propagator keeps with the frame for its later clips.
    """

    masks: Tensor
    boxes: Tensor
    class_scores: list[dict[int, float]]
    rles: Sequence[dict]
    size: tuple[int, int]
    map_size: tuple[float, float]
    codes: dict[str, Any] = field(default_factory=dict)
    image: Tensor | None = None
    memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.class_scores)

    @property
    def labels(self) -> list[int]:
        """N class indices, the best-scored one of each instance."""
        return [max(scores, key=scores.__getitem__) for scores in self.class_scores]

    def select(self, rows: Sequence[int]) -> Frame:
        """The same frame with these of its instances."""
        index = torch.tensor(rows, dtype=torch.long)
        return replace(
            self,
            masks=self.masks[index.to(self.masks.device, non_blocking=True)],
            boxes=self.boxes[index],
            class_scores=[self.class_scores[row] for row in rows],
            rles=[self.rles[row] for row in rows],
            codes={
                name: code.select(rows) if isinstance(code, PerInstance) else code
                for name, code in self.codes.items()
            },
        )

    def paste(self, maps: Tensor, threshold: float = 0.5) -> list[dict]:
        """RLEs at the video's size of (N, H, W) soft maps of the network's whole input, at any stride."""
        box = numbers_on(maps.device, [[0, 0, self.map_size[1], self.map_size[0]]])
        return paste_binary_masks(maps, box.expand(len(maps), 4), *self.size, threshold=threshold)
