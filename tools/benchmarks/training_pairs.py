"""Made-up pairs of frames with the annotations that training takes: ellipses that move."""

from __future__ import annotations

import models
import torch

import maskprop

maskprop.register_all()

from mmdet.structures import DetDataSample, TrackDataSample  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402
from torch import Tensor  # noqa: E402

Batch = tuple[Tensor, list[TrackDataSample]]
DIVISOR = 32  # sides of the network's input are multiples of it


def make_batch(
    pairs: int,
    size: tuple[int, int],
    instances: int,
    seed: int = 0,
    classes: int = models.CLASSES,
    device: str = 'cpu',
) -> Batch:
    """A batch as the data preprocessor gives it.

    Args:
        pairs: B.
        size: (height, width) of the frames in pixels, which are padded to multiples of 32.
        instances: objects in each frame, the same in both frames of a pair.
        seed: of classes and colours.
        classes: labels are below.
        device: of the tensors.

    Returns:
        (B, 2, 3, H, W) float, normalised; B samples of two frames with ``gt_instances``.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs, samples = [], []
    for _ in range(pairs):
        labels = torch.randint(classes, (instances,), generator=generator)
        frames = [make_frame(size, labels, moved, generator) for moved in (0.0, size[1] / 40)]
        inputs.append(torch.stack([image for image, _ in frames]))
        track = TrackDataSample(metainfo=dict(key_frames_inds=[0], ref_frames_inds=[1]))
        track.video_data_samples = [sample for _, sample in frames]
        samples.append(track.to(device))
    return torch.stack(inputs).to(device), samples


def make_frame(
    size: tuple[int, int], labels: Tensor, moved: float, generator: torch.Generator
) -> tuple[Tensor, DetDataSample]:
    """(3, H, W) float image, each object of its class's colour in noise, and its sample."""
    padded = tuple(-(-side // DIVISOR) * DIVISOR for side in size)
    boxes = models.boxes_on_a_grid(len(labels), *size, moved=moved)
    masks = _ellipses(boxes, *padded)
    image = 0.3 * torch.randn(3, *padded, generator=generator)
    colours = torch.stack([labels % 3 - 1, labels // 3 % 3 - 1, labels // 9 % 5 - 2], 1).float() + 0.5
    image += torch.einsum('nhw,nc->chw', masks.float(), colours)
    image[:, size[0] :], image[:, :, size[1] :] = 0, 0
    meta = dict(
        img_shape=size, ori_shape=size, pad_shape=padded, batch_input_shape=padded, scale_factor=(1.0, 1.0)
    )
    sample = DetDataSample(metainfo=meta)
    sample.gt_instances = InstanceData(
        bboxes=boxes,
        labels=labels,
        masks=BitmapMasks(masks.numpy().astype('uint8'), *padded),
        instances_ids=torch.arange(1, len(labels) + 1),
    )
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    return image, sample


def _ellipses(boxes: Tensor, height: int, width: int) -> Tensor:
    """(N, height, width) bool masks that fill their boxes."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    y = (torch.arange(height) + 0.5 - centre[:, 1:]) / half[:, 1:]  # [N, H]
    x = (torch.arange(width) + 0.5 - centre[:, :1]) / half[:, :1]
    return y.square()[:, :, None] + x.square()[:, None] <= 1
