"""Small real models and made-up batches for the model tests."""

from __future__ import annotations

import copy

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402
from mmdet.structures import DetDataSample, TrackDataSample  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402

from maskprop.engine.num_classes import fit_num_classes  # noqa: E402
from maskprop.structures import Detections, Frame, View  # noqa: E402

HEIGHT, WIDTH, CLASSES = 64, 96, 3
PROPAGATION = dict(
    type='MaskPropagationHead',
    in_channels=32,
    channels=32,
    offset_channels=8,
    dilations=(1, 3),
    feat_level=0,
    stride=4,
    normalizer='instances+background',
    mask_channel=True,
    copy_gain=8.0,
)
TRACK = Config.fromfile('configs/masktrack_rcnn/masktrack_rcnn_tiny_synthetic.py').model.track_head
ATTENTION = dict(
    type='InterFrameAttentionHead', num_classes=CLASSES, in_channels=32, channels=16, num_mask_convs=1
)

SAMPLER = dict(
    type='SpatiotemporalSampler',
    levels=(1, 3),
    in_channels=(32, 128),
    channels=8,
    num_layers=2,
    bottleneck=8,
    embed_channels=(8, 8, 8),
)


def build_model(
    detector: str = 'mask_rcnn', head: dict | None = None, mask_threshold: float = 0.5, **kwargs
) -> torch.nn.Module:
    """The demo's model, or the same with a small HTC, initialised by a fixed seed; kwargs are the model's keys."""
    key = repr((detector, head, mask_threshold, kwargs))
    if ' at 0x' in key:  # an object that may change
        return _build(detector, head, mask_threshold, kwargs)
    if key not in _built:
        if len(_built) == 16:
            _built.pop(next(iter(_built)))
        _built[key] = _build(detector, head, mask_threshold, kwargs), torch.get_rng_state()
    model, state = _built[key]
    torch.set_rng_state(state)  # as after a build
    return copy.deepcopy(model)


_built: dict[str, tuple[torch.nn.Module, torch.Tensor]] = {}  # copies cost a third of a build


def _build(detector: str, head: dict | None, mask_threshold: float, kwargs: dict) -> torch.nn.Module:
    torch.manual_seed(0)
    cfg = Config.fromfile('configs/_base_/models/tiny_mask_rcnn.py').model
    if detector == 'htc':
        shrink_htc(cfg)
    cfg.detector.test_cfg.rcnn.mask_thr_binary = mask_threshold
    fit_num_classes(cfg, CLASSES)
    cfg.update({'propagation_head': {**PROPAGATION, **(head or {})}, **kwargs})
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def shrink_htc(cfg: Config) -> None:
    """Replace the RoI head by the paper's HTC head at the small detector's width."""
    htc = Config.fromfile('configs/_base_/models/maskprop_htc_r50_fpn.py').model.detector
    small = cfg.detector
    roi_head = htc.roi_head
    for extractor in ('bbox_roi_extractor', 'mask_roi_extractor'):
        roi_head[extractor] = small.roi_head[extractor]
    roi_head.semantic_roi_extractor.out_channels = 32
    for head in roi_head.bbox_head:
        head.update(in_channels=32, fc_out_channels=32)
    for head in roi_head.mask_head:
        head.update(in_channels=32, conv_out_channels=32, num_convs=1)
    roi_head.semantic_head.update(num_ins=4, in_channels=32, conv_out_channels=32, num_convs=1)
    for stage in htc.train_cfg.rcnn:
        stage.sampler.num = 16
    small.train_cfg.rcnn, small.roi_head, small.type = htc.train_cfg.rcnn, roi_head, 'HybridTaskCascade'
    small.test_cfg.rcnn = htc.test_cfg.rcnn


def make_sample(ids: list[int], seed: int, frame: int = 0, in_padding: bool = False) -> DetDataSample:
    """A frame with one rectangle per id, moving with ``frame``."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((len(ids), HEIGHT, WIDTH), dtype=np.uint8)
    boxes = np.zeros((len(ids), 4), dtype=np.float32)
    for row in range(len(ids)):
        x, y = rng.integers(0, WIDTH - 30), rng.integers(0, HEIGHT - 30)
        x, y = (WIDTH - 12, HEIGHT - 12) if in_padding else (x + 2 * frame, y + frame)
        masks[row, y : y + 20, x : x + 24] = 1
        boxes[row] = x, y, min(x + 24, WIDTH), min(y + 20, HEIGHT)
    size = (HEIGHT, WIDTH)
    meta = dict(img_shape=size, ori_shape=size, pad_shape=size, batch_input_shape=size, scale_factor=(1.0, 1.0))
    sample = DetDataSample(metainfo=meta)
    sample.gt_instances = InstanceData(
        bboxes=torch.from_numpy(boxes),
        labels=torch.tensor([i % CLASSES for i in ids], dtype=torch.long),
        masks=BitmapMasks(masks, HEIGHT, WIDTH),
        instances_ids=torch.tensor(ids, dtype=torch.int32),
    )
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    return sample


def make_batch(*pairs: tuple[list[int], list[int]], in_padding: bool = False):
    """A batch of frame pairs: the ids of each pair's two frames."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(len(pairs), 2, 3, HEIGHT, WIDTH, generator=generator)
    samples = []
    for i, (key, other) in enumerate(pairs):
        track = TrackDataSample()
        track.video_data_samples = [
            make_sample(key, seed=i, in_padding=in_padding),
            make_sample(other, seed=i, frame=1, in_padding=in_padding),
        ]
        samples.append(track)
    return inputs, samples


def make_detections(count: int, seed: int = 0) -> Detections:
    """Random detections in network pixels, so that a model of random weights has something to track."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([WIDTH - 40.0, HEIGHT - 30.0])
    size = 15 + 20 * torch.rand(count, 2, generator=generator)
    return Detections(
        boxes=torch.cat([corner, corner + size], 1),
        scores=torch.rand(count, generator=generator) * 0.8 + 0.1,
        labels=torch.randint(0, CLASSES, (count,), generator=generator),
        roi_masks=torch.rand(count, 28, 28, generator=generator),
    )


def view_of(model: torch.nn.Module, image: torch.Tensor | None = None, meta: dict | None = None) -> View:
    """A frame's features; without an image, of a black one."""
    image = torch.zeros(1, 3, HEIGHT, WIDTH) if image is None else image
    with torch.no_grad():
        return View(model.detector.extract_feat(image), image, meta or make_sample([], 0).metainfo)


def known_frame(model: torch.nn.Module, detections: Detections, image: torch.Tensor | None = None) -> Frame:
    """A frame as the stream takes it, with given detections."""
    with torch.no_grad():
        return model.frame_encoder.from_detections(view_of(model, image), detections)
