"""Features of a video's frames, each computed once, with or without support frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from maskprop.ops.layout import image_layout
from maskprop.structures import View

GPU_FRAMES = 8  # of a video at once on a GPU, which one frame does not fill


def frames_at_once(asked: int | None, device: torch.device) -> int:
    """How many frames of a video are computed at once; None stands for what suits the device."""
    return asked or (GPU_FRAMES if device.type == 'cuda' else 1)


class FeatureStream:
    """One video's features. Feed it every frame in order with :meth:`step`, then call :meth:`finish`.

    With an aggregator, the features of frame t are made of those of frames t - w..t + w, as far as they exist (w
    is its ``window``), so that t is ready w frames later. Every frame goes through the backbone once; what the
    ring keeps of it after its own turn are the levels that the aggregator samples.

    Args:
        detector: with ``backbone`` and ``neck``.
        aggregator: see :class:`~maskprop.methods.maskprop.spatiotemporal_sampler.SpatiotemporalSampler`; or None.
        batch: so many frames go through the backbone at once, so that a frame is ready up to ``batch - 1`` frames
            later.
    """

    def __init__(self, detector: nn.Module, aggregator: nn.Module | None = None, batch: int = 1) -> None:
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
        return self._take() if len(self._taken) == self._batch else []

    @torch.no_grad()
    def step_chunk(self, images: Tensor, metas: Sequence[dict]) -> list[View]:
        """:meth:`step` for F frames: images (F, 3, H, W), F metas. A full batch is not copied."""
        if not self._taken and len(images) == self._batch:
            return self._compute(images, metas)
        return [
            view for image, meta in zip(images.split(1), metas, strict=True) for view in self.step(image, meta)
        ]

    @torch.no_grad()
    def finish(self) -> list[View]:
        """End the video; its last frames, which have fewer support frames after them."""
        views = self._take()
        while self._waiting:
            views.append(self._next())
        return views

    def _take(self) -> list[View]:
        if not self._taken:
            return []
        images, metas = zip(*self._taken, strict=True)
        self._taken = []
        return self._compute(images[0] if len(images) == 1 else torch.cat(images), metas)  # one isn't copied

    def _compute(self, images: Tensor, metas: Sequence[dict]) -> list[View]:
        """Frames that are ready once these have gone through the backbone."""
        net = self._detector.extract_feat if self._aggregator is None else self._detector.backbone
        frames = zip(*(level.split(1) for level in net(image_layout(images))), strict=True)
        views = []
        for levels, image, meta in zip(frames, images.split(1), metas, strict=True):
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
        assert self._aggregator is not None  # else nothing waits
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
