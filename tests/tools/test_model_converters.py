"""tools/model_converters: command lines, what they print, and a training that begins from what they write."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402
from mmengine.config import Config  # noqa: E402

from maskprop.apis import inference_video, init_model  # noqa: E402
from maskprop.engine import cli  # noqa: E402
from tests.conversion.legacy_model import OBJPROP, narrow_config  # noqa: E402
from tests.conversion.reference_state import reference_state  # noqa: E402
from tests.engine.tiny_config import MASKPROP, quick_runs, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

pytestmark = pytest.mark.slow

TOOLS = Path(__file__).parents[2] / 'tools' / 'model_converters'


def run(name: str, *args) -> None:
    with mock.patch.object(sys, 'argv', [name, *map(str, args)]):
        runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')


def test_objprop_reference(tmp_path, capsys):
    state = reference_state()
    torch.save(dict(state_dict=state), tmp_path / 'in.pth')
    run('objprop_reference', tmp_path / 'in.pth', tmp_path / 'out.pth')
    assert capsys.readouterr().out.splitlines() == [
        f'{tmp_path}/in.pth: ObjProp, 3 classes',
        f'wrote {tmp_path}/out.pth: {len(state)} weights',
    ]
    heads = {key: value for key, value in state.items() if key.startswith('prop_head')}
    torch.save(heads, tmp_path / 'heads.pth')
    with pytest.raises(SystemExit) as stopped:
        run('objprop_reference', tmp_path / 'heads.pth', tmp_path / 'none.pth')
    assert stopped.value.code == 1
    error = capsys.readouterr().err
    assert 'error: checkpoint' in error and 'It lacks backbone, neck' in error and 'Traceback' not in error
    assert not (tmp_path / 'none.pth').exists()
    run('objprop_reference', tmp_path / 'heads.pth', tmp_path / 'heads_out.pth', '--partial')
    assert 'absent: backbone, neck, rpn_head, bbox_head, mask_head, track_head' in capsys.readouterr().out


def test_training_begins_from_mmdet_coco(tmp_path, capsys):
    box_head = dict(reg_class_agnostic=False, fc_out_channels=16)
    cfg = Config.fromfile(str(MASKPROP)).model.detector
    cfg.roi_head.bbox_head.update(box_head)
    cfg.roi_head.bbox_head.num_classes = cfg.roi_head.mask_head.num_classes = 80
    torch.manual_seed(1)
    state = MODELS.build(cfg).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'coco.pth')

    root = write_tiny_ytvis(tmp_path / 'set')
    tiny = tiny_config(root, tmp_path / 'work', file=MASKPROP, param_scheduler=[])
    tiny.pop('experiment_name')
    tiny.model.detector.roi_head.bbox_head.update(box_head)
    tiny.model.detector.init_cfg = dict(type='Pretrained', checkpoint='https://example.invalid/weights.pth')
    config = str(tmp_path / 'tiny.py')
    tiny.dump(config)
    # the number of classes comes from the set
    run('mmdet_coco', tmp_path / 'coco.pth', tmp_path / 'start.pth', '--config', config)
    assert 'fc_cls.weight: 81x16 in the file, 4x16 in the model' in capsys.readouterr().out

    options = [f'load_from={tmp_path}/start.pth', 'model.detector.init_cfg=None', 'train_cfg.max_epochs=0']
    with quick_runs():
        runner = cli.train(cli.train_parser().parse_args([config, '--cfg-options', *options]))
    started = runner.model.detector.state_dict()
    same = {key for key, value in started.items() if torch.equal(value, state[key])}
    assert {key.rpartition('.')[0].rpartition('.')[2] for key in set(started) - same} == {
        'fc_cls',
        'fc_reg',
        'conv_logits',
    }


def test_torchvision_maskrcnn(tmp_path, capsys):
    state = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()  # 91 classes, as COCO's file
    torch.save(state, tmp_path / 'in.pth')
    config = 'configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py'
    options = ['--config', config, '--num-classes', 40]
    run('torchvision_maskrcnn', tmp_path / 'in.pth', tmp_path / 'out.pth', *options)
    lines = capsys.readouterr().out.splitlines()
    heads = '  detector.roi_head'
    assert lines == [
        f'kept: {len(state) - 6} weights',
        'initialised from scratch, of another shape:',
        f'{heads}.bbox_head.fc_cls.weight: 91x1024 in the file, 41x1024 in the model',
        f'{heads}.bbox_head.fc_cls.bias: 91 in the file, 41 in the model',
        f'{heads}.bbox_head.fc_reg.weight: 360x1024 in the file, 160x1024 in the model',
        f'{heads}.bbox_head.fc_reg.bias: 360 in the file, 160 in the model',
        f'{heads}.mask_head.conv_logits.weight: 90x256x1x1 in the file, 40x256x1x1 in the model',
        f'{heads}.mask_head.conv_logits.bias: 90 in the file, 40 in the model',
        'initialised from scratch, not of a detector: track_head, 4 weights',
        f'wrote {tmp_path}/out.pth',
    ]
    with pytest.raises(SystemExit):
        run('mmdet_coco', tmp_path / 'in.pth', tmp_path / 'other.pth', *options)
    assert 'expected a two-stage detector of mmdet 2.x or 3.x' in capsys.readouterr().err


def test_converted_checkpoint_runs_a_video(tmp_path):
    """Through the loader that refuses a bad fit; the names of the classes are the config's."""
    state = reference_state()
    state['bbox_head.fc_cls.weight'] *= 0  # every class is as likely as the background
    torch.save(state, tmp_path / 'in.pth')
    run('objprop_reference', tmp_path / 'in.pth', tmp_path / 'out.pth')
    config = narrow_config(OBJPROP)
    config.metainfo = dict(classes=['cat', 'dog', 'owl'])
    model = init_model(config, tmp_path / 'out.pth', device='cpu')
    assert model.dataset_meta == dict(classes=['cat', 'dog', 'owl'], category_ids=[1, 2, 3])
    frames = np.random.default_rng(0).integers(0, 255, (3, 72, 128, 3), dtype=np.uint8)
    results = inference_video(model, list(frames))
    assert results and all(len(result['segmentations']) == 3 for result in results)
