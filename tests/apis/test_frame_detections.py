"""Detections written by a model and read again: the same frames, the same results."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pycocotools import mask as mask_utils

import maskprop

maskprop.register_all()

from maskprop.apis.frame_detections import detect_frames  # noqa: E402
from maskprop.apis.variants import run_variants  # noqa: E402
from maskprop.apis.views import load_views  # noqa: E402
from maskprop.engine import cli  # noqa: E402
from maskprop.evaluation.results_io import write_results  # noqa: E402
from maskprop.methods.maskprop import MaskRefinementHead  # noqa: E402
from tests.apis.oracle_set import make  # noqa: E402
from tests.engine.tiny_config import MASKPROP, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

pytestmark = pytest.mark.slow

FRAMES = 5
MERGE_IOU = 0.1  # so that some are merged
BOXES = dict(boxes=dict(linker=dict(type='BoxIoULinker', threshold=0.05), fill=False))
TOOL = vars(import_module('maskprop.commands.detect_frames'))


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'), videos=2, frames=FRAMES, size=(50, 70))


@pytest.fixture(scope='module')
def own(root):
    """A model of random weights that finds something, its test set, and the file of what it finds."""
    model, dataset = make(root, model__merge_iou=MERGE_IOU)
    frames = list(detect_frames(model, dataset))
    write_results(root / 'dets.json', (record for records in frames for record in records))
    return model, dataset, frames


@pytest.fixture(scope='module')
def given(root, own):
    """The same model with the detections of the file."""
    files = dict(file=str(root / 'dets.json'), ann_file=str(root / 'annotations/val.json'))
    detections = dict(type='FileDetections', format='coco', score_thr=0.0, **files)
    return make(root, model__detections=detections, model__merge_iou=MERGE_IOU)[0]


def test_a_record_is_one_detection_of_one_listed_frame(own):
    _, dataset, frames = own
    assert len(frames) == 2 * FRAMES
    for number, records in enumerate(frames, 1):
        assert 0 < len(records) <= 4
        assert {r['image_id'] for r in records} == {number}
        assert {r['category_id'] for r in records} <= set(dataset.metainfo['category_ids'])
        assert all(r['segmentation']['size'] == [50, 70] for r in records)
    json.dumps(frames)


def test_every_part_of_a_frame_but_the_soft_masks_comes_back(own, given):
    model, dataset, _ = own
    merged = 0
    for index, view in load_views(model, dataset, 0, range(FRAMES)):
        expected, found = model.encode(view), given.encode(view)
        assert found.rles == expected.rles and found.class_scores == expected.class_scores
        torch.testing.assert_close(found.boxes, expected.boxes, rtol=0, atol=1e-5)
        torch.testing.assert_close(*(frame.codes['propagation_head'].values for frame in (found, expected)))
        bitmaps = torch.stack([torch.from_numpy(mask_utils.decode(rle)) for rle in expected.rles])
        assert bitmaps.shape[1:] == (50, 70) and found.masks.shape == expected.masks.shape
        assert set(found.masks.unique().tolist()) <= {0.0, 1.0}
        merged += len(own[2][index]) - len(found)
    assert merged > 0  # duplicates over classes were written and grouped anew


def test_results_are_those_of_the_model_itself(own, given):
    """With a linker that doesn't look at soft masks, whichever frames are used; with clips up to those masks."""
    model, dataset, _ = own
    strides = (1, 2)
    expected = run_variants(model, dataset, BOXES, strides)
    assert run_variants(given, dataset, BOXES, strides) == expected
    assert all(expected['boxes', stride] for stride in strides)


def test_masks_are_propagated_from_the_file(own, given):
    """At the network's own size, a mask that is exact at the stride comes through as it was written."""
    model, dataset, _ = own
    given.detections_before = given._detections
    instances = dataset.get_data_info(0)['images'][0]['instances']
    given._detections = SimpleNamespace(instances=lambda meta: [dict(i, score=0.7) for i in instances])
    try:
        (_, view), *_ = load_views(model, dataset, 0, range(1))
        found, truth = given.encode(view), model.encode(view, instances=instances)
    finally:
        given._detections = given.detections_before
    assert torch.equal(found.masks, truth.masks) and found.masks.any()
    assert [list(scores.values()) for scores in found.class_scores] == [[pytest.approx(0.7)]] * len(found)


def test_frames_keep_their_numbers_at_any_stride(root, own):
    model, _, frames = own
    sparse = make(root, test_dataloader__dataset__frame_stride=3)[1]
    assert list(detect_frames(model, sparse)) == [frames[n] for n in (0, 3, 5, 8)]


def test_refined_masks(own, monkeypatch):
    """A head that fills the whole box."""
    model, dataset, frames = own
    head = MaskRefinementHead(patch_size=8, channels=4)
    monkeypatch.setattr(head, 'refine', lambda image, boxes, masks: (torch.ones(len(boxes), 8, 8), boxes))
    monkeypatch.setattr(model, 'refinement_head', head, raising=False)
    found = list(detect_frames(model, dataset, refined=True))[0]
    for record, before in zip(found, frames[0], strict=True):
        box = mask_utils.toBbox(record['segmentation'])
        assert box == pytest.approx(record['bbox'], abs=1)
        assert mask_utils.area(record['segmentation']) > 0.9 * box[2] * box[3]
        assert {k: v for k, v in record.items() if k != 'segmentation'} == {
            k: v for k, v in before.items() if k != 'segmentation'
        }


def test_classes_of_another_set_are_refused_first(own, given):
    model, dataset, _ = own
    classes = list(dataset.metainfo['classes'])
    model.check_classes(['anything'])  # its detections are its own
    given.check_classes(classes)
    with pytest.raises(ValueError, match=r'dets.json are .*, but the data set has .*same annotation file'):
        given.check_classes(classes[::-1])


@pytest.fixture(scope='module')
def files(root, own) -> list[str]:
    options = {
        'model__detector__test_cfg__rcnn__score_thr': 0.0,
        'model__detector__test_cfg__rcnn__max_per_img': 4,
        'model__propagation_head__mask_channel': True,
    }
    tiny_config(root, root / 'work', MASKPROP, **options).dump(str(root / 'detect.py'))
    meta = dict(dataset_meta={key: own[1].metainfo[key] for key in ('classes', 'category_ids')})
    torch.save(dict(state_dict=own[0].state_dict(), meta=meta), root / 'weights.pth')
    return [str(root / 'detect.py'), str(root / 'weights.pth')]


def run(*args: str) -> None:
    cli.run(TOOL['write_detections'], lambda: TOOL['parse_args'](list(args)))


def test_the_tool_writes_the_same_file(root, files, capsys):
    run(*files, '--out', str(root / 'new/cli.json'))
    assert json.loads((root / 'new/cli.json').read_text()) == json.loads((root / 'dets.json').read_text())
    assert f'detections in {2 * FRAMES} frames' in capsys.readouterr().out


def test_the_tool_complains_first(root, files, capsys):
    weights = torch.load(files[1], weights_only=True)
    weights['meta']['dataset_meta']['classes'] = ['a', 'b', 'c']
    torch.save(weights, root / 'other.pth')
    for args, message in (
        ([files[0], 'nowhere.pth'], 'nowhere.pth: no such file'),
        ([files[0], str(root / 'other.pth')], "was trained on the classes ['a', 'b', 'c'], but"),
        ([*files, '--refined'], '--refined needs a refinement_head'),
        ([*files, '--frame-stride', '0'], '--frame-stride: 0: expected a whole number from 1 to 100000'),
    ):
        with pytest.raises(SystemExit):
            run(*args, '--out', str(root / 'none.json'))
        assert message in capsys.readouterr().err
    assert not (root / 'none.json').exists()


def test_what_is_read_is_not_replaced(root, files, capsys):
    """By any command that reads the test set of a config."""
    read = [*files, str(next(root.glob('annotations/*val.json')))]
    before = [Path(path).read_bytes() for path in read]
    for path in read:
        options = ['--data', read[2]] if path == read[2] else []
        with pytest.raises(SystemExit):
            run(*files, *options, '--out', path)
        assert f'--out {path}: is read by this command' in capsys.readouterr().err
    assert [Path(path).read_bytes() for path in read] == before
