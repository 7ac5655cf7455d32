"""Operators that a training step calls, by the parts of the model: what a GPU starts kernels for.

    python tools/benchmarks/step_operators.py [CONFIG.py ...] [--pairs 1 4] [--size 96 160] [--objects 4]

Nothing is timed, so a CPU, small frames and few regions do: the counts hardly depend on them. A step is that of
full_size_step.py, with the data preprocessor before it; optimizer and clipping take all parameters in one call, as
they do on a GPU.
"""

from __future__ import annotations

import argparse
import copy
from collections import Counter
from pathlib import Path
from typing import Any

import common
import torch
from full_size_step import Step
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from operator_count import OperatorCount
from torch import nn

FOLDER = Path(__file__).resolve().parents[2] / 'configs'
CONFIGS = ('maskprop/maskprop_htc_r50_fpn_20e_ytvis2019.py', 'demo/maskprop_tiny_synthetic.py')
WRAPPERS = dict(fp32='OptimWrapper', bf16='Bf16OptimWrapper')
CAST = '_to_copy'
SEED = 0


def count_step(count: OperatorCount, step: Step, pairs: int, size: tuple[int, int]) -> dict[str, dict[str, int]]:
    """How often a step on so many pairs of frames of this (height, width) calls each operator, by its parts."""
    step.pairs = pairs
    step.take(size)
    inputs, samples = step.batch
    raw = dict(inputs=list(inputs.byte()), data_samples=copy.deepcopy(samples))
    count.by_part.clear()
    torch.manual_seed(SEED)
    with count:
        step.model.data_preprocessor(raw, True)
        step()
    return {' > '.join(part): dict(found) for part, found in count.by_part.items()}


def less_work(cfg: Config) -> None:
    """Fewer regions, channels between layers and pixels of patches: no operator less, but each has less to do."""
    train_cfg = cfg.model.detector.train_cfg
    train_cfg.rpn_proposal.update(nms_pre=200, max_per_img=100)
    for stage in _stages(train_cfg.rcnn):
        stage.sampler.num = 32
    if cfg.model.get('refinement_head'):
        cfg.model.refinement_head.update(patch_size=32, channels=16)
    for head in _stages(cfg.model.detector.roi_head.bbox_head):
        head.fc_out_channels = 32


def make_state(optimizer: torch.optim.Optimizer) -> None:
    """Let the optimizer make its state."""
    parameters = [p for group in optimizer.param_groups for p in group['params'] if p.requires_grad]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()


def wrap_as_on_a_gpu(step: Step, optim: dict, count: OperatorCount) -> None:
    """Give the step this optim wrapper, with optimizer and clipping that take all parameters at once.

    PyTorch lets them do so by default on a GPU only.
    """
    step.wrapper = build_optim_wrapper(step.model, optim)
    for group in step.wrapper.optimizer.param_groups:
        group['foreach'] = not group.get('fused')
    if step.wrapper.clip_grad_kwargs:
        step.wrapper.clip_grad_kwargs['foreach'] = True
    make_state(step.wrapper.optimizer)
    count.watch(step.wrapper, 'zero_grad', 'optimizer')
    count.watch(step.wrapper, '_clip_grad', 'clipping')
    count.watch(step.wrapper.optimizer, 'step', 'optimizer')


def watch(count: OperatorCount, model: nn.Module) -> None:
    """Name the parts of a model's step."""
    detector = model.detector
    count.watch(model.data_preprocessor, 'forward', 'data preprocessor')
    count.watch(detector.backbone, 'forward', 'backbone')
    count.watch(detector.neck, 'forward', 'neck')
    rpn = detector.rpn_head
    count.watch(rpn, 'loss_and_predict', 'RPN')
    for method, name in (
        ('forward', 'convolutions'),
        ('get_anchors', 'anchors'),
        ('get_targets', 'assigner and sampler'),
        ('loss_by_feat', 'loss'),
        ('predict_by_feat', 'proposals'),
    ):
        count.watch(rpn, method, name)
    count.watch(detector.roi_head, 'loss', 'RoI head')
    watch_roi_head(count, detector.roi_head)
    for name, head in model.heads.items():
        count.watch(head, 'loss', name)
        for method in ('encode_features', 'predict_offsets', 'predict_mask', 'attend', 'propagate_boxes'):
            if hasattr(head, method):
                count.watch(head, method, method)
    count.watch(model, 'parse_losses', 'sum of the losses')


def watch_roi_head(count: OperatorCount, roi_head: nn.Module) -> None:
    """Name what the stages of mmdet's RoI heads do."""
    for name in ('bbox_assigner', 'bbox_sampler'):
        for part in _stages(getattr(roi_head, name)):
            count.watch(part, 'assign' if name == 'bbox_assigner' else 'sample', 'assigner and sampler')
    for kind, name in (('bbox', 'boxes'), ('mask', 'masks')):
        for extractor in _stages(getattr(roi_head, f'{kind}_roi_extractor')):
            count.watch(extractor, 'forward', 'RoIAlign')
        for head in _stages(getattr(roi_head, f'{kind}_head')):
            count.watch(head, 'forward', f'{name}, layers')
            count.watch(head, 'loss_and_target', f'{name}, targets and loss')
            if hasattr(head, 'refine_bboxes'):
                count.watch(head, 'refine_bboxes', 'boxes, refined for the next stage')
    if getattr(roi_head, 'with_semantic', False):
        count.watch(roi_head.semantic_head, 'forward', 'semantic head')
        count.watch(roi_head.semantic_head, 'loss', 'semantic head')


def _stages(parts: Any) -> list:
    return list(parts) if isinstance(parts, list | tuple | nn.ModuleList) else [parts]


def rows_of(cfg: Config, args: argparse.Namespace) -> list[dict]:
    """How often each operator is called by the parts of a config's step, for ``args.pairs`` and each precision."""
    less_work(cfg)
    step, count, rows = Step(cfg, 'OptimWrapper', args), OperatorCount(), []
    watch(count, step.model)
    for precision in args.precisions:
        wrap_as_on_a_gpu(step, dict(cfg.optim_wrapper, type=WRAPPERS[precision]), count)
        for pairs in args.pairs:
            parts = count_step(count, step, pairs, tuple(args.size))
            rows.append(dict(config=Path(cfg.filename).stem, pairs=pairs, precision=precision, parts=parts))
    return rows


def by_part(row: dict) -> Counter[str]:
    """Operators of each part of the step, and of the parts of these."""
    sums: Counter[str] = Counter()
    for name, found in row['parts'].items():
        outer, _, inner = (name or 'the rest').partition(' > ')
        sums[outer] += sum(found.values())
        if inner:
            sums[f'{outer}: {inner.partition(" > ")[0]}'] += sum(found.values())
    return sums


def tables(rows: list[dict]) -> list[str]:
    """A table for each config: parts by batches."""
    lines = []
    for config in dict.fromkeys(row['config'] for row in rows):
        columns = [row for row in rows if row['config'] == config]
        sums = [by_part(row) for row in columns]
        casts = [sum(found.get(CAST, 0) for found in row['parts'].values()) for row in columns]
        names = sorted(set().union(*sums))
        cells = [['**all**', *(sum(v for n, v in column.items() if ':' not in n) for column in sums)]]
        cells += [['of it casts', *casts]]
        for outer in (name for name in names if ':' not in name):
            inner = [name for name in names if name.startswith(f'{outer}:')]
            cells += [[name, *(column[name] for column in sums)] for name in (outer, *inner)]
        head = ['part', *(f'{row["pairs"]} pairs, {row["precision"]}' for row in columns)]
        lines += ['', f'`{config}`:', '', *common.table(head, cells)]
    return lines[1:]


def main() -> None:
    parser = common.parser(__doc__, runs=1)
    parser.add_argument('configs', nargs='*', type=Path, default=[FOLDER / name for name in CONFIGS])
    parser.add_argument('--pairs', type=int, nargs='+', default=[1, 4], help='of a batch; default: %(default)s')
    parser.add_argument('--precisions', nargs='+', default=list(WRAPPERS), choices=WRAPPERS)
    parser.add_argument('--size', type=int, nargs=2, default=(96, 160), metavar=('H', 'W'), help='of the frames')
    parser.add_argument('--objects', type=int, default=4, help='in a frame; default: %(default)s')
    args = parser.parse_args()
    common.start(args)
    rows = [row for config in args.configs for row in rows_of(Config.fromfile(config), args)]
    common.finish(args, rows, tables(rows))


if __name__ == '__main__':
    main()
