"""Weights of whoever's checkpoint against a model: found, renamed, compared; too little of them is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402

from maskprop.engine import cli  # noqa: E402
from maskprop.engine.checkpoint import CheckpointError  # noqa: E402
from maskprop.engine.config import ConfigError, prepare_training  # noqa: E402
from maskprop.engine.state_dicts import find_weights  # noqa: E402
from maskprop.engine.weights import (  # noqa: E402
    complete_weights,
    frozen_at_random,
    has_pretrained_backbone,
    load_weights,
    weights_to_begin_with,
)
from tests.engine.tiny_config import MASKPROP, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402


def small(**sizes: int) -> nn.ModuleDict:
    """Layers of these widths by their names, which may have dots."""
    tree: dict = {}
    for name, size in sizes.items():
        node = tree
        *parents, last = name.split('__')
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = nn.Linear(2, size)
    return _modules(tree)


def _modules(tree: dict) -> nn.ModuleDict:
    return nn.ModuleDict({k: _modules(v) if isinstance(v, dict) else v for k, v in tree.items()})


class Copier(nn.Linear):
    """A head that does without training."""

    works_untrained = True

    def init_weights(self) -> None:
        nn.init.normal_(self.weight)
        nn.init.constant_(self.bias, 7)


def detector(classes: int = 3, **more: int) -> nn.ModuleDict:
    """A detector alone, as mmdet names its parts."""
    return small(backbone__a=4, backbone__b=4, neck=3, roi_head__cls=classes, **more)


def video_model(classes: int = 3, **heads: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict({'detector': detector(classes), **heads})


STATE = detector().state_dict()


@pytest.mark.parametrize(
    'content',
    [
        STATE,
        dict(state_dict=STATE, meta={}),
        dict(model=STATE, optimizer=dict(state=3)),
        dict(ema_state_dict={f'module.{k}': v for k, v in STATE.items()}, epoch=1),
        dict(model_ema=STATE),
        # what mmengine's EMAHook writes: the average is under state_dict
        dict(ema_state_dict={k: v + 1 for k, v in STATE.items()}, state_dict=STATE),
        dict(state_dict={f'module.{k}': v.numpy() for k, v in STATE.items()}),
    ],
    ids=['bare', 'state_dict', 'model', 'ema', 'model_ema', 'ema beside', 'module and arrays'],
)
def test_weights_are_found(content):
    found = find_weights(content, 'x.pth')
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], value) for key, value in STATE.items())


@pytest.mark.parametrize('content', [3, [STATE], dict(state_dict={}), dict(meta='x'), {1: torch.ones(1)}])
def test_no_weights_are_named(content):
    with pytest.raises(CheckpointError, match=r'x\.pth: expected a state dict'):
        find_weights(content, 'x.pth')


@pytest.mark.parametrize(
    'damage,message',
    [
        (lambda w: w.index_fill(0, torch.tensor([0]), math.nan), r'nan in \d+ of \d+ places'),
        (lambda w: w.half() * math.nan, r'nan in (\d+) of \1 places'),
        (lambda w: w.to(torch.int32), 'a weight of type torch.int32'),
        (lambda w: w.to(torch.complex64), 'a weight of type torch.complex64'),
        (lambda w: w.to_sparse(), 'layout torch.sparse_coo'),
        (lambda w: w.to('meta'), 'without its values'),
    ],
    ids=['a nan', 'all nan', 'integers', 'complex', 'sparse', 'meta'],
)
def test_weights_that_are_none_are_refused(damage, message):
    key = next(key for key in STATE if key.endswith('weight'))
    with pytest.raises(CheckpointError, match=rf'x\.pth: {key}: .*{message}'):
        find_weights(dict(state_dict={**STATE, key: damage(STATE[key])}), 'x.pth')
    sound = {
        **STATE,
        key: STATE[key].half(),
        'steps': torch.ones((), dtype=torch.int64),
        'mask': -math.inf * STATE[key],
    }
    assert find_weights(sound, 'x.pth').keys() == sound.keys()


def test_a_detector_alone_is_tested_as_the_model_s():
    copier = Copier(2, 1)
    model = video_model(propagation_head=copier)
    extra = {'data_preprocessor.mean': torch.ones(3), 'ema_backbone_a_weight': torch.ones(1)}
    load_weights(model, dict(state_dict={**STATE, **extra}), 'coco.pth')
    for key, value in STATE.items():
        assert torch.equal(model.state_dict()[f'detector.{key}'], value)
    assert (copier.bias == 7).all(), 'initialised'
    again = complete_weights(video_model(propagation_head=Copier(2, 1)), STATE, 'coco.pth')
    assert torch.equal(again['propagation_head.weight'], copier.weight), 'the same each time'
    assert set(again) == set(model.state_dict())


def test_a_detector_alone_must_be_whole():
    lacking = {key: value for key, value in STATE.items() if 'neck' not in key}
    with pytest.raises(CheckpointError, match=r'coco\.pth does not fit the model: it lacks detector\.neck\.w'):
        load_weights(video_model(), lacking, 'coco.pth')
    with pytest.raises(CheckpointError, match=r'does not fit the model: .*detector\.roi_head\.cls\.weight'):
        load_weights(video_model(40), STATE, 'coco.pth')


def test_a_head_that_must_be_trained_is_named():
    model = video_model(propagation_head=Copier(2, 1), track_head=nn.Linear(2, 2))
    with pytest.raises(CheckpointError, match='a detector alone, and track_head would keep .*track_head=None'):
        load_weights(model, STATE, 'coco.pth')
    whole = dict(model.state_dict())
    del whole['propagation_head.bias']  # a checkpoint of this project must be whole, whatever a head could do
    with pytest.raises(CheckpointError, match=r'lacks propagation_head\.bias'):
        load_weights(model, whole, 'ours.pth')


def test_what_a_training_takes():
    model = video_model(40, propagation_head=nn.Linear(2, 2))
    fit = weights_to_begin_with(model, dict(model=STATE), 'coco.pth')
    assert len(fit.kept) == 6 and all(key.startswith('detector.') for key in fit.kept)
    assert fit.summary() == (
        '6 weights are taken; of another shape, started from scratch: '
        'detector.roi_head.cls.weight (3x2 there, 40x2 here), detector.roi_head.cls.bias (3 there, 40 here); '
        'not there, started from scratch: propagation_head (2)'
    )
    ours = {
        **{f'detector.{k}': v for k, v in STATE.items()},
        **{f'track_head.{i}': torch.ones(1) for i in range(9)},
    }
    fit = weights_to_begin_with(video_model(), ours, 'ours.pth')
    assert len(fit.kept) == 8 and fit.summary().endswith('there, but not in the model: track_head (9)')


REFUSED = {
    'nothing fits': ({'conv1.weight': torch.ones(1)}, r'no weight of it fits .* the layout of image classifier'),
    'torchvision': (
        {'backbone.body.conv1.weight': torch.ones(1)},
        'no weight of it fits .*convert it by tools/model_converters/torchvision_maskrcnn.py',
    ),
    'another backbone': (
        {**STATE, 'backbone.a.weight': torch.ones(9, 2)},
        r"1 of the backbone's 4 weights would begin at random.*detector\.backbone\.a\.weight; .*mmdet_coco\.py",
    ),
    'another backbone of mmdet': (
        {**{key: torch.ones(9, 9) for key in STATE}, 'roi_head.bbox_head.fc_cls.weight': torch.ones(9)},
        r'no weight of it fits .* the layout of mmdet 2\.x or 3\.x .*mmdet_coco\.py',
    ),
    'mmdet 1': (
        {'backbone.a.weight': torch.ones(9, 9), 'bbox_head.fc_cls.weight': torch.ones(9)},
        r'no weight of it fits .* the layout of mmdet 0\.x or 1\.x .*objprop_reference\.py --partial',
    ),
    'first layers': (
        {'detector.backbone.a.weight': torch.ones(4, 2)},
        r"3 of the backbone's 4 weights would begin at random.*detector\.backbone\.a\.bias",
    ),
    'heads alone': ({'propagation_head.weight': torch.ones(2, 2)}, "4 of the backbone's 4 weights would begin"),
}


@pytest.mark.parametrize('case', REFUSED)
def test_too_little_is_refused(case):
    state, message = REFUSED[case]
    model = video_model(propagation_head=nn.Linear(2, 2))
    with pytest.raises(CheckpointError, match=rf'load_from=x\.pth: .*{message}.*load_partial=True'):
        weights_to_begin_with(model, state, 'x.pth')
    weights_to_begin_with(model, state, 'x.pth', partial=True)


def test_heads_alone_are_taken_beside_a_backbone_from_elsewhere():
    model = video_model(propagation_head=nn.Linear(2, 2))
    model['detector'].init_cfg = [dict(type='Kaiming'), dict(type='Pretrained', checkpoint='coco.pth')]
    assert has_pretrained_backbone(model)
    state = {'propagation_head.weight': torch.ones(2, 2)}
    assert list(weights_to_begin_with(model, state, 'x.pth').kept) == list(state)
    with pytest.raises(CheckpointError, match='3 of the'):  # but not a piece of it
        weights_to_begin_with(model, {'detector.backbone.a.weight': torch.ones(4, 2)}, 'x.pth')


def test_frozen_parts_need_weights(tmp_path):
    model = video_model()
    given = [f'detector.{key}' for key in STATE]
    assert frozen_at_random(model, ('detector',), given) == []
    assert frozen_at_random(model, ('detector',), given[:-1]) == given[-1:]
    torch.save(dict(state_dict=STATE), tmp_path / 'coco.pth')
    model['detector'].init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'coco.pth'))
    assert frozen_at_random(model, ('detector',), []) == []
    model = video_model(40)
    model['detector'].init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'coco.pth'))
    assert frozen_at_random(model, ('detector',), []) == [
        'detector.roi_head.cls.weight',
        'detector.roi_head.cls.bias',
    ]
    assert frozen_at_random(model, (), []) == []


def test_a_module_in_a_frozen_part_may_have_its_own_weights(tmp_path):
    backbone = {
        key.removeprefix('backbone.'): value for key, value in STATE.items() if key.startswith('backbone.')
    }
    torch.save(dict(state_dict=backbone), tmp_path / 'backbone.pth')
    model = video_model()
    model['detector'].backbone.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'backbone.pth'))
    lacking = [f'detector.{key}' for key in STATE if not key.startswith('backbone.')]
    assert lacking and frozen_at_random(model, ('detector',), []) == lacking
    # a file of the whole part is read in place of those of what is in it
    torch.save(dict(state_dict={key: STATE[key] for key in STATE if key.startswith('roi')}), tmp_path / 'roi.pth')
    model['detector'].init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'roi.pth'))
    assert set(frozen_at_random(model, ('detector',), [])) == {f'detector.{k}' for k in STATE if k[:3] != 'roi'}


# -- in trainings and tests


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'))


@pytest.fixture(scope='module')
def coco(tmp_path_factory) -> Path:
    """The tiny config's detector as mmdet would save it, of 3 and of 80 classes."""
    folder = tmp_path_factory.mktemp('weights')
    for classes in (3, 80):
        cfg = Config.fromfile(MASKPROP).model.detector
        for head in (cfg.roi_head.bbox_head, cfg.roi_head.mask_head):
            head.num_classes = classes
        torch.manual_seed(classes)
        torch.save(dict(model=MODELS.build(cfg).state_dict()), folder / f'{classes}.pth')
    return folder


def write_config(root: Path, folder: Path, **options) -> str:
    cfg = tiny_config(root, folder / 'work', file=MASKPROP, param_scheduler=[], **options)
    cfg.pop('experiment_name')
    cfg.dump(str(folder / 'tiny.py'))
    return str(folder / 'tiny.py')


def train(config: str, *options: str):
    args = cli.train_parser().parse_args([config, '--cfg-options', 'train_cfg.max_epochs=0', *options])
    return cli.train(args)


def test_a_training_begins_with_a_detector_alone(root, coco, tmp_path, capsys):
    runner = train(write_config(root, tmp_path), f'load_from={coco}/80.pth', 'log_level=INFO')
    state = torch.load(coco / '80.pth', weights_only=True)['model']
    started = runner.model.detector.state_dict()
    kept = {key for key, value in started.items() if value.shape == state[key].shape}
    assert len(kept) > 100 and all(torch.equal(started[key], state[key]) for key in kept)
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    assert "80.pth: a detector's weights, taken as model.detector: " in log and 'fc_cls.weight (81x' in log
    assert 'do not match exactly' not in log, 'a thousand names'


def test_a_training_on_nothing_or_frozen_on_other_classes_is_refused(root, coco, tmp_path):
    config = write_config(root, tmp_path)
    torch.save(dict(state_dict={'conv1.weight': torch.ones(3)}), tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match='no weight of it fits'):
        train(config, f'load_from={tmp_path}/other.pth')
    frozen = 'model.frozen=[detector]'
    with pytest.raises(CheckpointError, match=r"model.frozen=\('detector',\): \d+ weights .*fc_cls.weight"):
        train(config, f'load_from={coco}/80.pth', frozen)
    train(config, f'load_from={coco}/3.pth', frozen)
    with pytest.raises(FileNotFoundError, match='load_from=nowhere.pth: no such checkpoint'):
        train(config, 'load_from=nowhere.pth')


def test_a_test_takes_a_detector_alone(root, coco, tmp_path):
    """By tools/test.py as by init_model: the same weights, the same results, or the same refusal."""
    from maskprop.apis import init_model

    copier = dict(model__propagation_head__mask_channel=True, model__propagation_head__copy_gain=8.0)
    config = write_config(root, tmp_path, **copier)
    args = cli.test_parser().parse_args([config, f'{coco}/3.pth', '--out', str(tmp_path / 'a.json')])
    cli.test(args)
    meta = dict(classes=['square', 'wide', 'tall'], category_ids=[1, 2, 4])
    model = init_model(config, f'{coco}/3.pth', cfg_options={'metainfo': meta})
    assert model.propagation_head.mask_conv.bias.item() == -model.propagation_head.copy_gain / 2, 'a copier'
    untrained = {'model.propagation_head.copy_gain': 0}
    with pytest.raises(CheckpointError, match='propagation_head would keep random weights'):
        init_model(config, f'{coco}/3.pth', cfg_options={'metainfo': meta, **untrained})
    args.cfg_options = untrained
    with pytest.raises(CheckpointError, match='propagation_head would keep random weights'):
        cli.test(args)


def test_a_frozen_part_whose_module_has_weights_is_taken(tmp_path):
    head = dict(type='Head', nets=[dict(init_cfg=dict(type='Pretrained', checkpoint='net.pth'))])
    model = dict(frozen=('head',), head=head)
    prepare_training(Config(dict(model=model, work_dir=str(tmp_path), train_dataloader=dict(sampler=dict()))))
    del head['nets'][0]['init_cfg']
    with pytest.raises(ConfigError, match="model.frozen names 'head'"):
        prepare_training(Config(dict(model=model, work_dir=str(tmp_path))))


def test_frozen_without_any_weights_is_refused_at_once():
    cfg = Config(dict(model=dict(frozen=('detector',), detector=dict()), work_dir='nowhere'))
    with pytest.raises(ConfigError, match="model.frozen names 'detector'"):
        prepare_training(cfg)
