"""Frames as a data set packs them, to a model's stream: prepared and uploaded as many at once as it computes."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.structures import TrackDataSample
from mmengine.runner.amp import autocast
from torch import nn

from maskprop.structures import FrameResult


class FrameFeed:
    """One video. Feed it every frame in order with :meth:`step`, then call :meth:`finish`.

    Args:
        model: with ``data_preprocessor`` and ``start_video()``; in evaluation mode.
        fp16: run under autocast, as ``test_cfg.fp16`` asks.
        overrides: of ``start_video``.
    """

    def __init__(self, model: nn.Module, fp16: bool = False, **overrides: Any) -> None:
        self._model = model
        self._fp16 = fp16
        self._device = next(model.parameters(), torch.empty(0)).device
        self.stream = model.start_video(**overrides)
        self._at_once = getattr(self.stream, 'frames_at_once', 1)
        self._taken: list[dict] = []

    def step(self, batch: dict) -> list[FrameResult]:
        """Take the next frame; the frames that became final, in order.

        Args:
            batch: ``inputs``, a list of one (1, 3, H, W) uint8 tensor, and ``data_samples``, a list of one
                ``TrackDataSample`` of one frame, as a data loader gives them.
        """
        self._taken.append(batch)
        return self._run() if len(self._taken) == self._at_once else []

    def finish(self) -> list[FrameResult]:
        """End the video; the remaining frames."""
        results = self._run() if self._taken else []
        with self._autocast():
            return results + self.stream.finish()

    def _run(self) -> list[FrameResult]:
        batch = _joined(self._taken) if len(self._taken) > 1 else self._taken[0]
        self._taken = []
        if self._device.type == 'cuda':  # pinned, the copy waits for nothing
            images = batch['inputs'][0]
            pinned = images if images.is_cuda else images.pin_memory()
            batch = dict(batch, inputs=[pinned.to(self._device, non_blocking=True)])
        with self._autocast():
            data = self._model.data_preprocessor(batch, False)
            metas = [sample.metainfo for sample in data['data_samples'][0].video_data_samples]
            images = data['inputs'][0]
            return self.stream.step(images, *metas) if len(metas) == 1 else self.stream.step_chunk(images, metas)

    def _autocast(self) -> Any:
        return autocast(device_type=self._device.type, enabled=self._fp16)


def _joined(batches: list[dict]) -> dict:
    """Batches of one frame as one batch of one sample, of several frames."""
    samples = [frame for batch in batches for frame in batch['data_samples'][0].video_data_samples]
    return dict(
        inputs=[torch.cat([batch['inputs'][0] for batch in batches])],
        data_samples=[TrackDataSample(video_data_samples=samples)],
    )
