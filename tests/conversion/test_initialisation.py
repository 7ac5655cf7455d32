"""COCO detectors as initialisation: what fits is kept, all else is named with its shapes."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402
from mmengine.hub import get_config  # noqa: E402

from maskprop.conversion.initialisation import model_shapes, write_initialisation  # noqa: E402
from maskprop.conversion.mmdet_coco import convert_state_dict  # noqa: E402
from maskprop.engine.checkpoint import CheckpointError, load_checkpoint_file  # noqa: E402
from maskprop.engine.config import ConfigError  # noqa: E402
from maskprop.engine.weights import fit_state_dict  # noqa: E402
from tests.engine.tiny_config import MASKPROP  # noqa: E402

CONFIG = str(MASKPROP)
COCO = 80
# said here, since the demo's own values may change
BOX_HEAD = dict(reg_class_agnostic=False, fc_out_channels=16)
OPTIONS = {f'model.detector.roi_head.bbox_head.{key}': value for key, value in BOX_HEAD.items()}
HEADS = ('propagation_head.', 'refinement_head.')  # of this project, in no checkpoint of others


def tiny_detector(classes: int = COCO, **backbone) -> dict[str, torch.Tensor]:
    """The weights of the test config's detector, as mmdet would have trained them on other classes."""
    cfg = Config.fromfile(CONFIG).model.detector
    for head in ('bbox_head', 'mask_head'):
        cfg.roi_head[head].num_classes = classes
    cfg.roi_head.bbox_head.update(BOX_HEAD)
    cfg.backbone.update(backbone)
    torch.manual_seed(0)
    return MODELS.build(cfg).state_dict()


def test_fit_by_name_and_shape():
    state = {'a': torch.ones(2, 3), 'b': torch.ones(4), 'c': torch.tensor(1)}
    shapes = {'a': (2, 3), 'b': (5,), 'detector.d': (1, 2), 'track_head.e': (3,), 'bn.num_batches_tracked': ()}
    fit = fit_state_dict(state, shapes)
    assert set(fit.kept) == {'a'} and fit.reshaped == [('b', (4,), (5,))]
    assert fit.absent == [('detector.d', (1, 2)), ('track_head.e', (3,))] and fit.dropped == [('c', ())]
    assert fit.report().splitlines() == [
        'kept: 1 weights',
        'initialised from scratch, of another shape:',
        '  b: 4 in the file, 5 in the model',
        'initialised from scratch, not in the file:',
        '  detector.d: 1x2',
        'initialised from scratch, not of a detector: track_head, 1 weights',
        'dropped, not in the model:',
        '  c: scalar',
    ]


def test_classes_are_left_out_and_listed(tmp_path):
    state = tiny_detector()
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'in.pth')
    fit = write_initialisation(tmp_path / 'in.pth', tmp_path / 'out.pth', convert_state_dict, CONFIG, OPTIONS, 3)
    heads = 'detector.roi_head'
    assert [name for name, *_ in fit.reshaped] == [
        f'{heads}.{layer}.{kind}'
        for layer in ('bbox_head.fc_cls', 'bbox_head.fc_reg', 'mask_head.conv_logits')
        for kind in ('weight', 'bias')
    ]
    assert fit.reshaped[0][1:] == ((81, 16), (4, 16))
    assert fit.reshaped[0][0] + ': 81x16 in the file, 4x16 in the model' in fit.report()
    assert not fit.dropped and all(name.startswith(HEADS) for name, _ in fit.absent)

    written = load_checkpoint_file(tmp_path / 'out.pth')['state_dict']
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(OPTIONS)
    model = MODELS.build(cfg.model)
    loaded = model.load_state_dict(written, strict=False)
    assert not loaded.unexpected_keys
    named = {name for name, *_ in [*fit.reshaped, *fit.absent]}
    assert {key for key in loaded.missing_keys if 'num_batches' not in key} == named
    for key, value in written.items():
        assert torch.equal(value, state[key.removeprefix('detector.')])


@pytest.mark.slow
def test_htc_has_the_names_of_today():
    """All of an HTC but its classes goes into the paper's MaskProp, whose detector is HTC."""
    cfg = get_config('mmdet::htc/htc_r50_fpn_1x_coco.py').model
    cfg.pop('data_preprocessor')
    with torch.device('meta'):
        state = MODELS.build(cfg).state_dict()
    converted = convert_state_dict({key: torch.zeros_like(value, device='cpu') for key, value in state.items()})
    config = 'configs/maskprop/maskprop_htc_r50_fpn_20e_ytvis2019.py'
    fit = fit_state_dict(converted, model_shapes(config, num_classes=40))
    assert not fit.dropped and all(name.startswith(HEADS) for name, _ in fit.absent)
    layers = {name.rpartition('.')[0].removeprefix('detector.roi_head.') for name, *_ in fit.reshaped}
    # boxes are class-agnostic in HTC
    expected = {f'bbox_head.{n}.fc_cls' for n in range(3)} | {f'mask_head.{n}.conv_logits' for n in range(3)}
    assert layers == expected | {'semantic_head.conv_logits'}


def test_another_backbone_is_refused(tmp_path):
    state = tiny_detector(base_channels=8)
    state = {key: value for key, value in state.items() if key.startswith('roi_head') or value.dim() == 4}
    torch.save(state, tmp_path / 'in.pth')
    with pytest.raises(CheckpointError, match='nothing of its backbone fits .*backbone.conv1.weight 8x3x7x7'):
        write_initialisation(tmp_path / 'in.pth', tmp_path / 'out.pth', convert_state_dict, CONFIG, OPTIONS, 3)
    assert not (tmp_path / 'out.pth').exists()


def test_number_of_classes_must_be_known(tmp_path):
    with pytest.raises(ConfigError, match='class names are not known: .*--num-classes N'):
        model_shapes(CONFIG)
    with pytest.raises(ConfigError, match='num_classes is 3, but --num-classes has 7 classes'):
        model_shapes(CONFIG, num_classes=7)
    named = {'metainfo.classes': ['a', 'b', 'c'], 'metainfo.category_ids': [1, 2, 4]}
    assert model_shapes(CONFIG, named) == model_shapes(CONFIG, num_classes=3)


def test_other_kinds_are_refused():
    one = torch.ones(1)
    for key, message in {
        'bbox_head.fc_cls.weight': 'found the layout of mmdet 0.x or 1.x .*objprop_reference.py --partial',
        'roi_heads.box_head.fc6.weight': 'found the layout of torchvision',
        'bbox_head.retina_cls.weight': 'found the layout of mmdet one-stage',
        'detector.backbone.conv1.weight': 'found the layout of this project',
        'neck.convs.0.weight': 'found an unknown layout',
    }.items():
        with pytest.raises(
            CheckpointError, match=f'expected a two-stage detector of mmdet 2.x or 3.x .*{message}'
        ):
            convert_state_dict({'backbone.conv1.weight': one, key: one})


def test_more_than_a_detector_is_refused():
    one = torch.ones(1)
    tracker = {key: one for key in ('backbone.conv1.weight', 'roi_head.bbox_head.fc_cls.bias', 'tracker.fc.bias')}
    with pytest.raises(CheckpointError, match=r'found an unknown layout \(tracker.fc.bias\)'):
        convert_state_dict(tracker)


def test_what_trainings_add_is_passed_over():
    state = {
        'backbone.conv1.weight': 1,
        'roi_head.bbox_head.fc_cls.bias': 2,
        'data_preprocessor.mean': 3,
        'ema_x': 4,
    }
    converted = convert_state_dict({key: torch.tensor(float(value)) for key, value in state.items()})
    assert list(converted) == ['detector.backbone.conv1.weight', 'detector.roi_head.bbox_head.fc_cls.bias']
