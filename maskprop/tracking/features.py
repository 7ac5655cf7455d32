"""Features of a video's frames, each computed once, with or without support frames."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from maskprop.ops.layout import image_layout

if TYPE_CHECKING:
    from mmdet.models.detectors import TwoStageDetector
    from torch import nn


class View(NamedTuple):
    """A frame as the network sees it.

    Attributes:
        feats: levels of the FPN, each (1, C, H_l, W_l).
        image: (1, 3, H, W) float, normalised and padded.
        meta: ``img_shape``, ``ori_shape`` (height, width), ``scale_factor`` (width, height), and what the data set
            tells of the frame.
    """

    feats: tuple[Tensor, ...]
    image: Tensor
    meta: dict

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the network's input."""
        return tuple(self.image.shape[-2:])


class FeatureStream:
    """One video's features. Feed it every frame in order with :meth:`step`, then call :meth:`finish`.

    With an aggregator, the features of frame t are made of those of frames t - w..t + w, as far as they exist (w
    is its ``window``), so that t is ready w frames later. Every frame goes through the backbone once; what the
    ring keeps of it after its own turn are the levels that the aggregator samples.

    Args:
        detector: with ``backbone`` and ``neck``.
        aggregator: see :class:`~maskprop.methods.maskprop.spatiotemporal_sampler.SpatiotemporalSampler`; or None.
        batch: so many frames go through the backbone at once, so that a frame is ready up to ``batch - 1`` frames
            later. A GPU is faster with several.
    """

    def __init__(self, detector: TwoStageDetector, aggregator: nn.Module | None = None, batch: int = 1) -> None:
        self._detector = detector
        self._aggregator = aggregator
        self._batch = batch
        self._window = 0 if aggregator is None else aggregator.window
        self._taken: list[tuple[Tensor, dict]] = []
        self._support: deque[tuple[Tensor | None, ...]] = deque(maxlen=2 * self._window + 1)
        self._waiting: deque[tuple[tuple[Tensor, ...], Tensor, dict]] = deque()
        self._seen = 0

    @torch.no_grad()
    def step(self, image: Tensor, meta: dict) -> list[View]:
        """Take the next frame; the frames that are ready, in order: often one or none.

        Args:
            image: (1, 3, H, W) float, normalised and padded; of one size in a video.
            meta: of the frame, see :class:`View`.
        """
        self._taken.append((image, meta))
        return self._compute() if len(self._taken) == self._batch else []

    @torch.no_grad()
    def finish(self) -> list[View]:
        """End the video; its last frames, which have fewer support frames after them."""
        views = self._compute()
        while self._waiting:
            views.append(self._next())
        return views

    def _compute(self) -> list[View]:
        """Frames that are ready once the taken ones have gone through the backbone."""
        if not self._taken:
            return []
        taken, self._taken = self._taken, []
        images = taken[0][0] if len(taken) == 1 else torch.cat([image for image, _ in taken])  # one isn't copied
        net = self._detector.extract_feat if self._aggregator is None else self._detector.backbone
        batch = net(image_layout(images))
        views = []
        for index, (image, meta) in enumerate(taken):
            levels = tuple(level[index : index + 1] for level in batch)
            if self._aggregator is None:
                views.append(View(levels, image, meta))
                continue
            sampled = self._aggregator.levels
            self._support.append(tuple(x if i in sampled else None for i, x in enumerate(levels)))
            self._waiting.append((levels, image, meta))
            self._seen += 1
            if len(self._waiting) > self._window:
                views.append(self._next())
        return views

    def _next(self) -> View:
        levels, image, meta = self._waiting.popleft()
        frame = self._seen - len(self._waiting) - 1
        oldest = self._seen - len(self._support)
        first, end = max(frame - self._window, oldest), min(frame + self._window + 1, self._seen)
        near = [self._support[i - oldest] for i in range(first, end)]
        supports = tuple(
            None if near[0][level] is None else torch.stack([kept[level] for kept in near], 1)  # [1, S, C, h, w]
            for level in range(len(levels))
        )
        return View(
            self._detector.neck(self._aggregator.aggregate(levels, supports, own=frame - first)), image, meta
        )


def pair_features(
    detector: TwoStageDetector, aggregator: nn.Module | None, inputs: Tensor
) -> tuple[tuple[Tensor, ...], int]:
    """FPN features of the frames that training samples have losses on.

    Args:
        detector: with ``backbone`` and ``neck``.
        aggregator: with ``num_support`` K, or None.
        inputs: (B, F, 3, H, W) float; with an aggregator F is 2 + 2 K: t, t + delta, K support frames of t, K of
            t + delta.

    Returns:
        levels, each (B n, C, H_l, W_l), frames of a sample side by side; n, the frames of a sample among them: F,
        or 2 with an aggregator.
    """
    batch, frames = inputs.shape[:2]
    images = image_layout(inputs.flatten(0, 1))
    if aggregator is None:
        return detector.extract_feat(images), frames
    count = aggregator.num_support
    if frames != 2 + 2 * count:
        raise ValueError(
            f'the aggregator takes pairs of frames with {count} support frames each, {2 + 2 * count} in all, but '
            f'samples have {frames}: set num_support={count} in SampleFramePair'
        )
    levels = [level.unflatten(0, (batch, frames)) for level in detector.backbone(images)]
    aggregated = []
    for i in (0, 1):
        near = [i, *range(2 + i * count, 2 + (i + 1) * count)]
        supports = tuple(level[:, near] if n in aggregator.levels else None for n, level in enumerate(levels))
        aggregated.append(aggregator.aggregate(tuple(level[:, i] for level in levels), supports, own=0))
    pairs = tuple(torch.stack(both, 1).flatten(0, 1) for both in zip(*aggregated, strict=True))
    return detector.neck(pairs), 2
