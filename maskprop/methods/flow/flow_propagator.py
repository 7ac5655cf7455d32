"""Masks carried by optical flow, what the paper compares its branch with (MaskProp, Table 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmdet.registry import TASK_UTILS
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from maskprop.methods.flow.optical_flow import (
    compose_flows,
    consistent,
    ends_inside,
    pool_flow,
    pool_picture,
    warp,
)
from maskprop.structures import Frame


class Motion(NamedTuple):
    """From a target frame back to the source, on the grid of the masks, H x W cells.

    Attributes:
        flow: (2, H, W) float, in cells.
        visible: (H, W) bool, where the target shows what the source shows too.
    """

    flow: Tensor
    visible: Tensor

    def carry(self, values: Tensor) -> Tensor:
        """The source's (C, H, W) float values in the target, 0 where the source doesn't show it."""
        return warp(values[None], self.flow[None])[0] * self.visible

    def then(self, further: Motion) -> Motion:
        """The motion from this one's target to the source of ``further``."""
        visible = self.carry(further.visible[None].to(self.flow))[0] >= 0.5
        return Motion(compose_flows(self.flow[None], further.flow[None])[0], visible)


@TASK_UTILS.register_module()
class FlowPropagator:
    """Carries soft masks to other frames by the flow from each of them back to the masks' frame.

    Flows are estimated on the frames' images without their padding and averaged over the cells of the masks. Those
    of two frames are kept while both frames are: a clip's neighbours need them again. Nothing else is kept, so one
    propagator may serve many videos, also at once.

    Args:
        flow: config of the estimator: a ``DISFlow`` or ``RAFTFlow``, or any class with their ``estimate``.
        chained: join the flows from frame to frame, instead of one flow over the whole distance.
        consistency: (a, b): a mask is 0 where the way p -> q -> p' there and back has
            |p' - p|^2 >= a (|q - p|^2 + |p' - q|^2) + b, pixels of the images that the flow sees: the pixel is
            hidden in the source, or its flow is wrong. A cell counts as most of its pixels do. ``None``: off.
        short_side: resize the images to this shorter side in pixels first; ``None``: the network's size.
    """

    needs = ('image',)

    def __init__(
        self,
        flow: dict | None = None,
        chained: bool = False,
        consistency: Sequence[float] | None = (0.01, 0.5),
        short_side: int | None = None,
    ) -> None:
        if consistency is not None and not _are_tolerances(consistency):
            raise ValueError(f'consistency={consistency!r}: expected (a, b), neither below 0, or None')
        if short_side is not None and short_side < 1:
            raise ValueError(f'short_side={short_side} must be 1 or more, or None')
        self.estimator = TASK_UTILS.build(flow or dict(type='DISFlow'))
        self.chained = chained
        self.consistency = consistency
        self.short_side = short_side
        # image of the target -> image of the source -> Motion; an entry goes when one of the two images does
        self._motions = WeakTensorKeyDictionary()

    @torch.no_grad()
    def propagate(self, source: Frame, targets: Sequence[Frame]) -> Tensor:
        """Soft masks of the source's N instances in S frames.

        Args:
            source: with ``masks`` and ``image``.
            targets: in the order of the video. With ``chained`` the flows lead from one to the next: give every
                frame between. A source that isn't among them comes before the first.

        Returns:
            (S, N, H, W) float in [0, 1]; in the source itself, its masks unchanged.
        """
        if any(frame.image is None for frame in (source, *targets)):
            raise ValueError("FlowPropagator needs Frame.image: encode the frames with needs={'image'}")
        if len(source.masks) == 0:
            return source.masks.new_zeros((len(targets), *source.masks.shape))
        if self.chained:
            motions = self._chain(source, targets)
        else:
            motions = [None if t.image is source.image else self._motion(t, source) for t in targets]
        carried = [source.masks if motion is None else motion.carry(source.masks) for motion in motions]
        return torch.stack(carried)

    def _chain(self, source: Frame, targets: Sequence[Frame]) -> list[Motion | None]:
        """Motions from each target to the source through the targets between them; None for the source."""
        motions: list[Motion | None] = [None] * len(targets)
        place = next((i for i, target in enumerate(targets) if target.image is source.image), -1)
        for order in (range(place + 1, len(targets)), range(place - 1, -1, -1)):
            before, way = source, None
            for index in order:
                step = self._motion(targets[index], before)
                before, way = targets[index], step if way is None else step.then(way)
                motions[index] = way
        return motions

    def _motion(self, target: Frame, source: Frame) -> Motion:
        from_target = self._motions.setdefault(target.image, WeakTensorKeyDictionary())
        if source.image not in from_target:
            self._estimate(target, source)
        return from_target[source.image]

    def _estimate(self, target: Frame, source: Frame) -> None:
        """Keep the motion from target to source; with ``consistency``, which takes both flows, both motions."""
        shown, stride = _shown(source)
        images = [self._picture(frame, shown) for frame in (target, source)]
        ways = [(target, source)]
        if self.consistency is None:
            flows = self.estimator.estimate(images[0][None], images[1][None])
            trusted = ends_inside(flows)
        else:
            ways.append((source, target))
            flows = self.estimator.estimate(torch.stack(images), torch.stack(images[::-1]))
            trusted = consistent(flows, flows.flip(0), *self.consistency)
        cells, device = source.masks.shape[-2:], source.masks.device
        pooled = pool_flow(flows, shown, stride, cells).to(device)
        visible = (pool_picture(trusted[:, None].to(flows), shown, stride, cells)[:, 0] >= 0.5).to(device)
        for (start, end), *motion in zip(ways, pooled, visible, strict=True):
            known = self._motions.setdefault(start.image, WeakTensorKeyDictionary())
            known[end.image] = Motion(*motion)

    def _picture(self, frame: Frame, shown: tuple[int, int]) -> Tensor:
        """The image without padding, at the flow's resolution: (3, h, w) uint8."""
        assert frame.image is not None  # in ``needs``
        picture = frame.image[:, : shown[0], : shown[1]]
        if self.short_side is None or min(shown) == self.short_side:
            return picture
        size = [max(round(side * self.short_side / min(shown)), 1) for side in shown]
        resized = F.interpolate(picture[None].float(), size, mode='bilinear', antialias=True)
        return resized[0].round().clamp(0, 255).byte()


def _are_tolerances(values: Any) -> bool:
    return isinstance(values, Sequence) and len(values) == 2 and min(values) >= 0


def _shown(frame: Frame) -> tuple[tuple[int, int], int]:
    """(height, width) of a frame's image without padding, and the stride of its masks, in the image's pixels."""
    assert frame.image is not None  # in ``needs``
    sides, cells = frame.image.shape[-2:], frame.masks.shape[-2:]
    stride = sides[0] // cells[0]
    shares = [video / padded for video, padded in zip(frame.size, frame.map_size, strict=True)]
    shown = [min(round(share * n * stride), side) for share, n, side in zip(shares, cells, sides, strict=True)]
    return tuple(shown), stride
