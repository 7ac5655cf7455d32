"""What the studies take: measured on this machine, and estimated at full size on several GPUs.

    python tools/benchmarks/study_cost.py [STUDY.py ...] [--out work_dirs/ablations] [--gpus 8]

Measured: the seconds of the jobs that tools/ablate.py has done in its folder, one after the other. What several
studies share (sets, detectors) counts in each. Estimated: the same trainings and tests on YouTube-VIS 2019 with
the full-size config, by the FLOPs that cost_table.py counts. A detector has the paper's schedule; heads on the
frozen detector have its epochs in the proportion of the study's own, a forward pass of detector and mask head and
both passes of the head; a test has every frame of the mini-validation set once for all rows that share a pass.
Neither linking nor what isn't the video model (appearance nets) counts.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import common
import cost_table
from mmengine.config import Config

import maskprop

FULL_SIZE = cost_table.FOLDER / 'maskprop/maskprop_htc_r50_fpn_20e_ytvis2019.py'
TEST_SIZE = (720, 1280)
HEADS = {'refinement': 'refinement'}  # part that a training of heads trains, by its name; else the branch


def main() -> None:
    parser = common.parser(__doc__, runs=1)
    parser.add_argument(
        'studies', nargs='*', type=Path, default=sorted((cost_table.FOLDER / 'ablations').glob('*.py'))
    )
    parser.add_argument('--out', type=Path, default=Path('work_dirs/ablations'), help='folder of tools/ablate.py')
    parser.add_argument('--config', type=Path, default=FULL_SIZE, help='at full size; default: %(default)s')
    parser.add_argument('--gpus', type=int, default=8)
    parser.add_argument('--peak', type=float, default=156, help='TFLOPS of a GPU; default: an A100 with TF32')
    parser.add_argument('--utilisation', type=float, nargs=2, default=(0.1, 0.4), metavar=('LEAST', 'MOST'))
    parser.add_argument('--pairs', type=int, default=61845, help='in an epoch')
    parser.add_argument('--test-frames', type=int, default=6570, help='of a test: 238 videos of 27.6 frames')
    parser.add_argument('--objects', type=int, default=2, help='in a frame; default: %(default)s')
    args = parser.parse_args()
    common.start(args)
    maskprop.register_all()
    from maskprop.ablation.jobs import plan
    from maskprop.ablation.study import load_study

    costs = FullSize(args)
    files = [file for file in args.studies if '\nstudy = ' in file.read_text(encoding='utf-8')]
    rows = [study_row(plan([load_study(file)], args.out), costs) for file in files]
    common.finish(args, rows, tables(rows, args))


class FullSize:
    """FLOPs of the full-size trainings and tests."""

    def __init__(self, args: Namespace) -> None:
        from maskprop.apis.model_cost import model_cost

        cfg = Config.fromfile(args.config)
        step = cost_table.count_step(cfg, args.objects)
        self.pairs, self.epochs = args.pairs, step.epochs
        self.detector = step.flops / step.batch * args.pairs * step.epochs
        mean, _ = cost_table.training_sizes(cfg)
        self.frame = model_cost(cost_table.build(cfg), mean, args.objects).flops
        self.encoded = model_cost(cost_table.build(cfg), mean, 0).flops['propagation']
        self.clip = 2 * cfg.model.clip_radius + 1
        tested = model_cost(cost_table.build(cfg), TEST_SIZE, args.objects).flops
        self.test = args.test_frames * sum(tested.values())

    def heads(self, part: str, share: float) -> float:
        """FLOPs of training one head on the frozen detector, for a share of the schedule."""
        frozen = sum(2 * self.frame[name] for name in ('backbone', 'FPN')) + self.frame['mask heads']
        flops = self.frame[part]
        if part == 'propagation':  # two codes, and two frames of the clip
            flops = 2 * self.encoded + (flops - self.encoded) * 2 / self.clip
        return (frozen + (1 + cost_table.BACKWARD) * flops) * self.pairs * self.epochs * share


def study_row(jobs: list, costs: FullSize) -> dict:
    """A study's measured seconds (None if not all are done) and its FLOPs at full size."""
    table = jobs[-1]
    counts = {level: sum(job.level == level for job in jobs) for level in ('detector', 'heads', 'test')}
    flops = counts['detector'] * costs.detector + counts['test'] * costs.test
    for job in jobs:
        if (
            job.level == 'heads'
            and 'train_cfg' in job.details['cfg']
            and 'max_epochs' in job.details['cfg'].train_cfg
        ):
            epochs = job.details['cfg'].train_cfg.max_epochs
            whole = job.needs[0].details['cfg'].train_cfg.max_epochs
            part = HEADS.get(job.name.split('/')[1].rsplit('_', 1)[0], 'propagation')
            flops += costs.heads(part, epochs / whole)
    seconds = {}
    for level in ('set', 'detector', 'heads', 'test', 'table'):
        of_level = [job.record() for job in jobs if job.level == level]
        seconds[level] = sum(r['seconds'] for r in of_level) if all(r.get('done') for r in of_level) else None
    return dict(study=table.name, counts=counts, seconds=seconds, flops=flops)


def tables(rows: list[dict], args: Namespace) -> list[str]:
    """The table, and what it rests on."""
    head = ['study', 'detectors, heads, tests', 'minutes of detectors', 'of heads', 'of tests']
    head += [f'hours on {args.gpus} GPUs at full size, estimated']
    least, most = (share * args.peak * 1e12 * args.gpus * 3600 for share in sorted(args.utilisation, reverse=True))
    cells = [
        [
            f'`{row["study"]}`', ', '.join(map(str, row['counts'].values())),
            *(minutes(row['seconds'][level]) for level in ('detector', 'heads', 'test')),
            between(row['flops'] / least, row['flops'] / most),
        ]
        for row in rows
    ]  # fmt: skip
    low, high = sorted(args.utilisation)
    rate = f'{low:.0%} to {high:.0%} of ' if low < 1 else ''
    return [
        f'Minutes: measured, of the jobs one after the other. Hours: `{args.config.stem}`, '
        f'at {rate}{args.peak:g} TFLOPS.',
        '', *common.table(head, cells),
    ]  # fmt: skip


def between(low: float, high: float) -> str:
    return f'{low:.2g}' if low == high else f'{low:.2g} to {high:.2g}'


def minutes(seconds: float | None) -> str:
    return 'not run' if seconds is None else f'{seconds / 60:.0f}'


if __name__ == '__main__':
    main()
