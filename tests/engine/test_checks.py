from __future__ import annotations

import json

import pytest
from mmengine.config import ConfigDict

import maskprop

maskprop.register_all()

from maskprop.datasets.ytvis_json import AnnotationError  # noqa: E402
from maskprop.engine.checks import build_dataset  # noqa: E402
from maskprop.engine.config import ConfigError  # noqa: E402
from maskprop.engine.num_classes import fit_num_classes  # noqa: E402
from tests.engine.tiny_config import tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402


def htc(bbox=(None, None, None), mask=(None, None, None), semantic=None) -> ConfigDict:
    """Shaped as VideoMaskRCNN around mmdet's HTC: lists of heads inside a nested detector."""
    return ConfigDict(
        type='VideoMaskRCNN',
        detector=dict(
            type='HybridTaskCascade',
            rpn_head=dict(type='RPNHead', num_classes=1),
            roi_head=dict(
                type='HybridTaskCascadeRoIHead',
                bbox_head=[dict(type='Shared2FCBBoxHead', num_classes=n) for n in bbox],
                mask_head=[dict(type='HTCMaskHead', num_classes=n) for n in mask],
                semantic_head=dict(type='FusedSemanticHead', num_classes=semantic),
            ),
        ),
    )


def test_every_head_of_htc_is_filled_in():
    cfg = htc(bbox=(None, 7, None))
    del cfg.detector.roi_head.mask_head[2]['num_classes']
    fit_num_classes(cfg, 7)
    roi_head = cfg.detector.roi_head
    assert [head.num_classes for head in (*roi_head.bbox_head, *roi_head.mask_head)] == [7] * 6
    assert roi_head.semantic_head.num_classes == 8 and cfg.detector.rpn_head.num_classes == 1


@pytest.mark.parametrize(
    ('heads', 'key'),
    [
        (
            dict(bbox=(7, 7, 40)),
            r'model.detector.roi_head.bbox_head\[2\].num_classes is 40.* 7 classes: set it to 7',
        ),
        (dict(mask=(7, 80, 7)), r'model.detector.roi_head.mask_head\[1\].num_classes is 80'),
        (dict(semantic=7), r'model.detector.roi_head.semantic_head.num_classes is 7.*set it to 8'),
    ],
)
def test_a_head_of_another_size_is_named(heads, key):
    with pytest.raises(ConfigError, match=key):
        fit_num_classes(htc(**heads), 7, 'the set')


def test_stuff_classes_of_the_semantic_head_are_its_own():
    cfg = htc(semantic=183)
    fit_num_classes(cfg, 7)
    assert cfg.detector.roi_head.semantic_head.num_classes == 183


def test_the_attention_head_is_filled_in():
    cfg = htc(bbox=(7, 7, 7), mask=(7, 7, 7))
    cfg.attention_head = dict(type='InterFrameAttentionHead', num_classes=None)
    fit_num_classes(cfg, 7)
    assert cfg.attention_head.num_classes == 7


def test_frames_that_a_resize_would_empty_are_refused(tmp_path):
    root = write_tiny_ytvis(tmp_path / 'set', videos=1)
    file = root / 'annotations/val.json'
    content = json.loads(file.read_text())
    content['videos'][0].update(height=4, width=2000)
    file.write_text(json.dumps({**content, 'annotations': None}))
    cfg = tiny_config(root, tmp_path / 'work')
    with pytest.raises(
        ConfigError, match=r'test_dataloader.dataset .*video 1: its frames are 2000 x 4 .*Resize, sc'
    ):
        build_dataset(cfg, 'test')


def test_a_set_that_is_not_there_is_named_by_its_key(tmp_path):
    cfg = tiny_config(write_tiny_ytvis(tmp_path / 'set', videos=1), tmp_path / 'work')
    cfg.train_dataloader.dataset.data_root = None
    with pytest.raises(
        AnnotationError, match=r'^train_dataloader\.dataset: annotations/train\.json: cannot be read'
    ):
        build_dataset(cfg, 'train')
