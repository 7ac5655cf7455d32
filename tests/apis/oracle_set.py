"""A small set with hard ground truth (gaps in ids, a crowd, an empty video, bad boxes, overlap), and models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as mask_utils

import maskprop

maskprop.register_all()

from maskprop.apis import init_model  # noqa: E402
from maskprop.ops.masks import encode_mask  # noqa: E402
from tests.engine.tiny_config import MASKPROP, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

SIZE = (50, 70)  # height, width
FRAMES = 6
RCNN = 'model__detector__test_cfg__rcnn'
ROIS = dict(
    type='SingleRoIExtractor',
    roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=1),
    out_channels=32,
    featmap_strides=[4, 8, 16, 32],
)
EMBED = dict(type='TrackEmbedHead', num_fcs=1, in_channels=32, roi_feat_size=7, fc_out_channels=16)
ATTENTION = dict(type='InterFrameAttentionHead', num_classes=3, in_channels=32, channels=8, num_mask_convs=1)
SETTINGS = dict(
    filling=dict(
        model__fill=True,
        model__clip_radius=1,
        model__propagation_head__mask_channel=True,
        model__propagation_head__copy_gain=8.0,
    ),
    propagated=dict(model__output_mask='propagated', model__clip_radius=1),
    detector_alone=dict(
        model__propagation_head=None,
        model__linker=dict(type='BoxIoULinker', threshold=0.9),  # loses what moves
        model__score_rule='majority',
        model__min_frames=2,
    ),
    history=dict(
        model__propagation_head=None,
        model__track_head=dict(type='TrackHead', roi_extractor=ROIS, embed_head=EMBED),
        model__attention_head=ATTENTION,
        model__linker=dict(_delete_=True, type='MaskTrackLinker'),
        model__history_fill=dict(threshold=0.1),
        model__merge_iou=None,
        model__score_rule='majority',
        model__min_frames=2,
    ),
)


def write_oracle_set(root: Path) -> Path:
    """Write it; the file is ``annotations/val.json``. Ids count from 11 in steps of 3; categories are 1, 5 and 9.

    Video 1 has the tiny set's objects, the first with boxes of no size, a crowd, an object seen once, and a pair
    of one category whose boxes overlap by more than 0.8; video 2 the tiny set's; video 3 no object. No object is
    of category 9.
    """
    write_tiny_ytvis(root, videos=3, frames=FRAMES, size=SIZE, num_categories=2)
    path = root / 'annotations/val.json'
    content = json.loads(path.read_text())
    content['categories'][1]['id'] = 5
    content['categories'].append(dict(id=9, name='never seen'))
    for annotation in content['annotations']:
        annotation['category_id'] = {1: 1, 2: 5}[annotation['category_id']]
    kept = [a for a in content['annotations'] if a['video_id'] != 3]
    kept[0]['bboxes'] = [box and [*box[:2], 0, 0] for box in kept[0]['bboxes']]  # degenerate
    once = [None, None, (2, 2, 9, 9), None, None, None]
    kept += [
        make_annotation(1, 5, [(5, 30, 25, 60)] * FRAMES, iscrowd=1),
        make_annotation(1, 1, once),
        make_annotation(1, 5, [(20, 10 + t, 40, 40 + t) for t in range(FRAMES)]),
        make_annotation(1, 5, [(21, 11 + t, 41, 41 + t) for t in range(FRAMES)]),
    ]
    for number, annotation in enumerate(kept):
        annotation['id'] = 11 + 3 * number
    content['annotations'] = kept
    path.write_text(json.dumps(content))
    return root


def make_annotation(video: int, category: int, boxes: list, iscrowd: int = 0) -> dict:
    """An annotation of rectangles (y1, x1, y2, x2), None where absent."""
    rles = [box and rectangle(*box) for box in boxes]
    return dict(
        video_id=video,
        category_id=category,
        iscrowd=iscrowd,
        segmentations=rles,
        bboxes=[rle and mask_utils.toBbox(rle).tolist() for rle in rles],
        areas=[rle and int(mask_utils.area(rle)) for rle in rles],
    )


def rectangle(y1: int, x1: int, y2: int, x2: int) -> dict:
    """RLE of a rectangle."""
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[y1:y2, x1:x2] = 1
    return encode_mask(mask)


def change(root: Path, name: str, edit: Callable[[dict], None]) -> str:
    """Write a changed copy of the annotations; its path below the root."""
    content = json.loads((root / 'annotations/val.json').read_text())
    edit(content)
    (root / f'annotations/{name}.json').write_text(json.dumps(content))
    return f'annotations/{name}.json'


def make(root: Path, setting: str = 'filling', **options):
    """A model of random weights that finds something, and its test set."""
    from mmdet.registry import DATASETS

    options = {f'{RCNN}__score_thr': 0.0, f'{RCNN}__max_per_img': 4, **SETTINGS[setting], **options}
    cfg = tiny_config(root, root / 'work', MASKPROP, **options)
    torch.manual_seed(0)
    return init_model(cfg, device='cpu'), DATASETS.build(cfg.test_dataloader.dataset)
