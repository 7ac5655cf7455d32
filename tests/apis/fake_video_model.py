"""A model without weights that finds red and blue things by colour and gives frames back late, as real ones do."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from mmengine.config import Config
from pycocotools import mask as mask_utils
from torch import nn

from maskprop.ops.mmcv_kernels import install_torchvision_kernels

install_torchvision_kernels()

from mmdet.models.data_preprocessors import TrackDataPreprocessor  # noqa: E402

from maskprop.tracking.video_instances import FrameResult, VideoInstances  # noqa: E402

PIPELINE = [
    dict(
        type='TransformBroadcaster',
        transforms=[
            dict(type='LoadImageFromFile', backend_args=None),
            dict(type='Resize', scale=(96, 64), keep_ratio=True),
            dict(type='LoadTrackAnnotations', with_mask=True),
        ],
    ),
    dict(type='PackTrackInputs'),
]


def make_config() -> Config:
    dataset = dict(pipeline=PIPELINE, metainfo=dict(classes=['red', 'blue'], category_ids=[3, 8]))
    return Config(dict(test_dataloader=dict(dataset=dataset)))


class ColourModel(nn.Module):
    """Class 0 is what is red, class 1 what is blue; a frame is final ``delay`` frames later."""

    def __init__(self, delay: int = 3) -> None:
        super().__init__()
        self.data_preprocessor = TrackDataPreprocessor(
            mean=[10.0, 20.0, 30.0], std=[2.0, 2.0, 2.0], bgr_to_rgb=True, pad_size_divisor=32
        )
        self.cfg = make_config()
        self.dataset_meta = dict(classes=['red', 'blue'], category_ids=[3, 8])
        self.delay = delay
        self.eval()

    def start_video(self) -> ColourStream:
        return ColourStream(self.delay)


class ColourStream:
    def __init__(self, delay: int) -> None:
        self.delay = delay
        self.pending: list[FrameResult] = []
        self.instances = VideoInstances()
        self.seen = 0
        self.metas: list[dict] = []

    def step(self, image: torch.Tensor, meta: dict) -> list[FrameResult]:
        assert image.shape[0] == 1 and image.shape[1] == 3 and image.shape[2] % 32 == image.shape[3] % 32 == 0
        assert not torch.is_grad_enabled()
        self.metas.append(meta)
        rgb = image[0] * 2 + torch.tensor([10.0, 20.0, 30.0]).view(3, 1, 1)
        rgb = rgb[:, : meta['img_shape'][0], : meta['img_shape'][1]]
        result = FrameResult(self.seen)
        for label, channel in ((0, 0), (1, 2)):
            found = (rgb[channel] - rgb[2 - channel] > 100).numpy().astype(np.uint8)
            mask = cv2.resize(found, meta['ori_shape'][::-1], interpolation=cv2.INTER_NEAREST)
            if mask.any():
                rle = mask_utils.encode(np.asfortranarray(mask))
                rle['counts'] = rle['counts'].decode()
                # The score is exact in the picture's values, so that results tell any two frames apart.
                score = float(image[0].double().abs().mean()) / 1000
                result.add(label + 1, label, score, rle)
                self.instances.add_scores(label + 1, {label: score})
        self.seen += 1
        self.pending.append(result)
        return [self._finalize()] if len(self.pending) > self.delay else []

    def finish(self) -> list[FrameResult]:
        return [self._finalize() for _ in range(len(self.pending))]

    def video_instances(self) -> VideoInstances:
        assert not self.pending
        return self.instances

    def _finalize(self) -> FrameResult:
        result = self.pending.pop(0)
        self.instances.add_frame(result)
        return result


def make_video(frames: int = 8, size: tuple[int, int] = (60, 80), seed: int = 0) -> list[np.ndarray]:
    """Grey noise with a red square going right and, from the third frame on, a blue one going down."""
    rng = np.random.default_rng(seed)
    video = []
    for t in range(frames):
        frame = rng.integers(90, 140, (*size, 3)).astype(np.uint8)
        frame[10:30, 4 * t : 4 * t + 20] = (20, 20, 230)
        if t >= 2:
            frame[3 * t : 3 * t + 15, 60:75] = (230, 20, 20)
        video.append(frame)
    return video
