"""configs/coco: classes, ids, addresses of the weights; links by a variant's name; heads on a frozen detector."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.hub import get_config

import maskprop

maskprop.register_all()

from mmdet.datasets import CocoDataset  # noqa: E402
from mmdet.registry import DATASETS  # noqa: E402

from maskprop.apis import init_model  # noqa: E402
from maskprop.apis.model import find_dataset_meta  # noqa: E402
from maskprop.datasets.ytvis_json import AnnotationError  # noqa: E402
from maskprop.engine.config import ConfigError, use_variant  # noqa: E402
from tests.engine.tiny_config import MASKPROP  # noqa: E402
from tests.helpers import CATEGORIES, write_tiny_ytvis  # noqa: E402
from tests.models.test_coco_detectors import PAIRS  # noqa: E402

TINY = 'configs/coco/rtmdet_ins_tiny_coco.py'
ENTRIES = yaml.safe_load(Path('configs/coco/metafile.yml').read_text())['Models']
COCO = CocoDataset.METAINFO['classes']


@pytest.mark.slow
def test_the_index_has_every_config_and_mmdet_s_addresses():
    assert {entry['Config'] for entry in ENTRIES} == {str(path) for path in Path('configs/coco').glob('*.py')}
    for entry in ENTRIES:
        assert entry['Config'] == f'configs/coco/{entry["Name"]}.py'
        theirs = PAIRS[entry['Name'].removesuffix('_coco')]
        assert entry['Weights'] == get_config(f'mmdet::{theirs}.py', pretrained=True).model_path
        assert tuple(entry['Metadata']['Classes']) == COCO


def test_ids_are_coco_s_whoever_says_the_classes():
    """The files that mmdet wrote have names and no ids: today's, those of 2022, and older ones."""
    cfg = Config.fromfile(TINY)
    by_name = {'person': 1, 'fire hydrant': 11, 'stop sign': 13, 'toothbrush': 90}
    for meta in (dict(dataset_meta=dict(classes=COCO)), dict(dataset_meta=dict(CLASSES=COCO)), dict(CLASSES=COCO)):
        found = find_dataset_meta(cfg, dict(meta=meta))
        assert tuple(found['classes']) == COCO and len(set(found['category_ids'])) == 80
        assert all(found['category_ids'][COCO.index(name)] == number for name, number in by_name.items())
    others = find_dataset_meta(cfg, dict(meta=dict(dataset_meta=dict(classes=['a', 'b']))))
    assert others == dict(classes=['a', 'b'], category_ids=[1, 2])


@pytest.mark.slow
def test_a_variant_by_name():
    model = init_model(TINY, device='cpu', variant='box_iou')
    assert model.stream.linker.type == 'BoxIoULinker' and not model.stream.fill
    assert type(model.start_video().linker).__name__ == 'BoxIoULinker'
    cfg = Config.fromfile(TINY)
    use_variant(cfg, 'copy')
    assert dict(cfg.model.propagator) == dict(type='CopyPropagator'), 'nothing of the other one is left'
    with pytest.raises(ConfigError, match="no variant 'sort'; it has flow, flow_raft, copy, box_iou, "):
        use_variant(cfg, 'sort')
    with pytest.raises(ConfigError, match="no variant 'copy'; it has none"):
        use_variant(Config.fromfile(MASKPROP), 'copy')


@pytest.mark.slow
def test_a_checkpoint_of_mmdet_runs_on_a_video(tmp_path):
    """Of mmdet's own class, in the format of before torch 1.6, as its oldest files are."""
    from mmdet.registry import MODELS

    from maskprop.apis import inference_video

    cfg = get_config(f'mmdet::{PAIRS["rtmdet_ins_tiny"]}.py').model
    torch.manual_seed(0)
    theirs = MODELS.build(cfg)
    for conv in theirs.bbox_head.rtm_cls:
        torch.nn.init.normal_(conv.weight, std=0.5)
        torch.nn.init.zeros_(conv.bias)
    content = dict(state_dict=theirs.state_dict(), meta=dict(mmdet_version='2.3.0', CLASSES=COCO))
    torch.save(content, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    small = {'test_dataloader.dataset.pipeline.0.transforms.1.scale': (64, 48)}
    model = init_model(TINY, tmp_path / 'old.pth', 'cpu', {**small, 'model.detector.test_cfg.max_per_img': 4})
    for key, value in theirs.state_dict().items():
        if not key.startswith('data_preprocessor'):
            assert torch.equal(model.detector.state_dict()[key], value)
    frames = torch.randint(0, 255, (5, 48, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    results = inference_video(model, frames.numpy())
    assert results and {record['category_id'] for record in results} <= set(model.dataset_meta['category_ids'])


def other_classes(root: Path, **options):
    settings = dict(type='OtherClassesDataset', data_root=f'{root}/', pipeline=[], **options)
    return DATASETS.build(dict(settings, ann_file='annotations/train.json'))


def test_a_training_set_of_other_classes(tmp_path):
    root = write_tiny_ytvis(tmp_path)
    meta = dict(classes=COCO, category_ids=list(range(80)))
    found = other_classes(root, metainfo=meta)
    assert found.metainfo['classes'] == COCO and found.metainfo['category_ids'] == meta['category_ids']
    objects = [
        o for i in range(len(found)) for image in found.get_data_info(i)['images'] for o in image['instances']
    ]
    annotated = json.loads((root / 'annotations/train.json').read_text())['annotations']
    assert len(objects) == sum(mask is not None for a in annotated for mask in a['segmentations'])
    assert {o['bbox_label'] for o in objects} == {0}
    with pytest.raises(AnnotationError, match='train.json: OtherClassesDataset needs metainfo.classes, '):
        other_classes(root)
    assert len(CATEGORIES) == 3, 'and not 80'
