"""A set and a config with which several processes do unequal work, and their steps can be compared."""

from __future__ import annotations

import json
from pathlib import Path

from mmengine.config import Config

from tests.engine.tiny_config import tiny_config
from tests.helpers import write_tiny_ytvis

RANKS, ITERATIONS = 2, 4


def uneven_set(folder: Path) -> Path:
    """A set whose frames have, in order, two objects and none in turn, and later two and one."""
    root = write_tiny_ytvis(folder, videos=3, frames=6)
    path = root / 'annotations' / 'train.json'
    content = json.loads(path.read_text())
    first = dict(content['annotations'][0], video_id=1)
    second = dict(content['annotations'][1], video_id=1, category_id=2)
    for annotation, present in ((first, (1, 0, 1, 0, 1, 1)), (second, (1, 0, 1, 0, 1, 0))):
        pool = {key: next(v for v in annotation[key] if v) for key in ('segmentations', 'bboxes', 'areas')}
        for key, value in pool.items():
            annotation[key] = [value if p else None for p in present]
    others = [a for a in content['annotations'] if a['video_id'] != 1]
    content['annotations'] = [dict(a, id=i + 1) for i, a in enumerate([first, second, *others])]
    path.write_text(json.dumps(content))
    return root


def step_config(file: Path, root: Path, work_dir: Path) -> Config:
    cfg = tiny_config(root, work_dir, file=file)
    cfg.merge_from_dict(
        {
            'train_dataloader.batch_size': 1,
            'train_dataloader.sampler': dict(
                type='SeededFrameSampler', shuffle=False, samples_per_epoch=RANKS * ITERATIONS
            ),
            'train_dataloader.dataset.keep_empty_frames': True,
            'train_cfg.max_epochs': 1,
            'train_cfg.val_begin': 100,
            # plain SGD: Adam's first steps turn a difference of 1e-9 in a gradient near 0 into one of the
            # step size
            'optim_wrapper': dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
            'default_hooks.checkpoint': dict(type='CheckpointHook', by_epoch=False, interval=ITERATIONS),
            'param_scheduler': [],
        }
    )
    cfg.optim_wrapper.clip_grad = dict(max_norm=10)
    # norms in eval mode: in training mode each process would normalise by its own batch
    if 'norm' in cfg.model:
        cfg.model.norm = 'eval'
    else:
        cfg.model.detector.backbone.norm_eval = True
    return cfg
