"""Keys that nothing reads are refused by name; configs of mmdet, which are sound, pass."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import mmdet
import pytest
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402

from maskprop.engine.config_names import unknown_names  # noqa: E402
from maskprop.engine.config_types import check_types  # noqa: E402
from maskprop.engine.errors import ConfigError  # noqa: E402
from tests.engine import own_parts  # noqa: E402
from tests.engine.tiny_config import MASKPROP  # noqa: E402

MMDET = Path(mmdet.__file__).parent / '.mim/configs'
# mistakes in mmdet's own configs, found by this check: a metric that has another name, an argument that it lacks
WRONG_IN_MMDET = ("'MOTChallengeMetrics'", 'eval_mode: CocoMetric')
MISSPELT = [
    ('auto_scale_lr.base_batch_size', 'x', 'expected int | None'),
    ('auto_scale_lr.base_batch_size', -4, 'expected a number from 0'),
    ('auto_scale_lr.base_batchsize', 8, "did you mean 'base_batch_size'"),
    ('custom_hooks', [dict(type='EMAHok')], "custom_hooks.0.type: there is no hook 'EMAHok'"),
    ('custom_hooks', [dict(type='EMAHook', momentm=0.1)], 'custom_hooks.0.momentm: EMAHook has no such argument'),
    ('default_hooks.checkpoint.intervall', 1, "did you mean 'interval'"),
    ('default_hooks.checkpont', dict(type='CheckpointHook'), "did you mean 'checkpoint'"),
    ('env_cfg.cudnn_benchmrk', True, "did you mean 'cudnn_benchmark'"),
    ('env_cfg.mp_cfg.opencv_num_thread', 0, "did you mean 'opencv_num_threads'"),
    ('model.clip_radus', 1, "did you mean 'clip_radius'"),
    ('model.fill', 'yes', 'model.fill: expected bool'),
    ('model.linker.tresh', 0.5, "did you mean 'threshold'"),
    ('model.detector.test_cfg.rcnn.score_thrr', 0.5, "did you mean 'score_thr'"),
    ('model.detector.test_cfg.rcnn.nms.iou_thresold', 0.5, "did you mean 'iou_threshold'"),
    ('model.detector.train_cfg.rpn_propsal', dict(nms_pre=5), "did you mean 'rpn_proposal'"),
    ('model.detector.train_cfg.rcnn.sampler.numm', 5, "did you mean 'num'"),
    ('optim_wrapper', dict(_delete_=True, optimizer=dict(type='SGD'), acumulative_counts=2), "did you mean 'acc"),
    ('optim_wrapper.type', 'AmpOptimWraper', "there is no optim_wrapper 'AmpOptimWraper'"),
    ('optim_wrapper.type', 'SGD', "there is no optim_wrapper 'SGD'"),  # an optimizer
    ('optim_wrapper.constructor', 'SGD', "there is no optimizer constructor 'SGD'"),
    ('optim_wrapper.optimizer.lrr', 0.1, "did you mean 'lr'"),
    ('optim_wrapper.clip_grad', dict(max_nrm=1), "did you mean 'max_norm'"),
    ('optim_wrapper.paramwise_cfg', dict(norm_decay=0), "did you mean 'norm_decay_mult'"),
    ('param_scheduler.0.start_facto', 0.1, "did you mean 'start_factor'"),
    ('test_cfg.typ', 'TestLoop', 'test_cfg.typ: VideoTestLoop has no such argument'),
    ('test_dataloader.num_worker', 1, "did you mean 'num_workers'"),
    ('test_dataloader.sampler.shufle', True, 'has no such argument'),
    ('test_evaluator.formt_only', True, "did you mean 'format_only'"),
    ('train_cfg.max_epoch', 3, "did you mean 'max_epochs'"),
    ('train_dataloader.dataset.pipline', [], "did you mean 'pipeline'"),
    ('variants', dict(a=dict(clip_radus=1)), "variants.a.clip_radus: VideoMaskRCNN has no such argument"),
    ('variants', dict(a=dict(linker=dict(type='ClipLinkr'))), "linker.type: there is no task util 'ClipLinkr'"),
    ('variants', dict(a=dict(linker=dict(type='CentreLinker'))), 'name its module in custom_imports'),
    ('variants', dict(a=dict(min_frames=2.5)), 'variants.a.min_frames: expected int'),
    ('variants', dict(a=5), 'variants.a: expected a dict'),
    ('visualization', dict(min_scor=0.1), "did you mean 'min_score'"),
]  # fmt: skip


@pytest.mark.parametrize('key, value, message', MISSPELT, ids=[key for key, *_ in MISSPELT])
def test_a_key_that_nothing_reads_is_refused(key, value, message):
    cfg = Config.fromfile(MASKPROP)
    cfg.merge_from_dict({key: value})
    with pytest.raises(ConfigError) as error:
        check_types(cfg)
    assert key in str(error.value) and message in str(error.value)


def test_what_others_read_passes():
    cfg = Config.fromfile(MASKPROP)
    cfg.merge_from_dict(
        {
            'custom_hooks': [dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=1e-4, priority='HIGH')],
            'default_hooks.profiler': dict(type='ProfilerHook', on_trace_ready=dict(type='log_trace')),
            'optim_wrapper.clip_grad': dict(type='value', clip_value=1.0),
            'param_scheduler.0.convert_to_iter_based': True,
            'train_dataloader.collate_fn': dict(type='pseudo_collate'),
            'train_dataloader.dataset.pipeline': [dict(type='Albu', transforms=[dict(type='Blur', p=0.1)])],
            'visualizer.type': 'mmengine.visualization.Visualizer',
        }
    )
    check_types(cfg)


def test_a_detector_of_another_s_may_read_keys_of_its_own():
    @MODELS.register_module(force=True)
    class OwnDetector(MODELS.get('MaskRCNN')):
        """Of a user."""

    cfg = Config.fromfile(MASKPROP)
    cfg.merge_from_dict({'model.detector.type': 'OwnDetector', 'model.detector.test_cfg.rcnn.my_own': 3})
    check_types(cfg)
    cfg.model.detector.type = 'MaskRCNN'
    with pytest.raises(ConfigError, match='test_cfg.rcnn.my_own: is no such key'):
        check_types(cfg)


OWN = 'tests.engine.own_parts'
PIPELINE = 'train_dataloader.dataset.pipeline'
SGD = dict(type='SGD', lr=0.1)
LAYERWISE = dict(decay_rate=0.7, decay_type='layer_wise', num_layers=6)
CLASSES = dict(type=EMAHook, ema_type=ExponentialMovingAverage, momentum=0.1)
ALBU = dict(type='Albu', transforms=[dict(type='Resize', height=3, width=3)])
PROFILER = dict(type='ProfilerHook', on_trace_ready=dict(type='tb_trace'))
VALID = [
    ('test_evaluator', [dict(type='KeepingMetric', depth=3)]),
    ('custom_hooks', [dict(type='PoppingHook', intervals=3)]),
    ('custom_hooks', [dict(type='NewHook', every=3)]),
    ('custom_hooks', [dict(type=f'{OWN}.Resize', ratio=3)]),
    ('custom_hooks', [dict(type=partial(own_parts.Resize), ratio=3)]),
    ('custom_hooks', [CLASSES]),
    ('custom_hooks', [PROFILER]),
    ('train_dataloader.sampler', dict(_delete_=True, type='RandomSampler', weights='w.json')),
    ('train_dataloader.collate_fn', own_parts.collate),
    (PIPELINE, [dict(type=f'{OWN}.Resize', ratio=3)]),
    (PIPELINE, [ALBU]),
    ('optim_wrapper', dict(constructor='mmdet.LearningRateDecayOptimizerConstructor', paramwise_cfg=LAYERWISE)),
    ('optim_wrapper.constructor', 'DefaultOptimWrapperConstructor'),
    ('optim_wrapper', dict(_delete_=True, constructor='PairConstructor', one=dict(optimizer=SGD))),
    ('optim_wrapper', dict(type='AmpOptimWrapper', loss_scale=512.0)),
    ('optim_wrapper', dict(type='AmpOptimWrapper', loss_scale=dict(init_scale=512.0))),
    ('param_scheduler', [dict(type='MultiStepLR', milestones=range(1, 5))]),
    ('param_scheduler', [dict(type='LinearLR', start_factor=0.1, end=6.0)]),
    ('default_hooks.checkpoint2', dict(type='CheckpointHook')),
    ('train_cfg', dict(_delete_=True, by_epoch=False, max_iters=5)),
]  # fmt: skip


@pytest.mark.parametrize('key, value', VALID, ids=[f'{n} {key}' for n, (key, _) in enumerate(VALID)])
def test_what_is_valid_passes(key, value):
    cfg = Config.fromfile(MASKPROP)
    cfg.merge_from_dict({key: value})
    check_types(cfg)


@pytest.mark.slow
def test_the_configs_of_mmdet_pass():
    files = [file for file in sorted(MMDET.rglob('*.py')) if '_base_' not in file.parts]
    assert len(files) > 500
    found = {}
    for file in files:
        try:
            cfg = Config.fromfile(file)
        except (ImportError, FileNotFoundError):  # of mmpretrain's, and of files that the wheel lacks
            continue
        found[file] = [
            fault for fault in unknown_names(cfg) if not any(known in fault for known in WRONG_IN_MMDET)
        ]
    assert len(found) > 500 and not [(file, faults) for file, faults in found.items() if faults]
