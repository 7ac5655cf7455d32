"""The main job on data that the project makes itself: generate, train, track, score, draw.

Run:  maskprop demo-full [--out work_dirs/demo_full] [--seed S]      (make demo-full installs first)

Rows of the table, on the same detections: ``maskprop``; ``box_iou``, ids by greedy box IoU; ``copy``, masks copied
unchanged in place of propagation. Writes ``summary.json`` ({"rows": [{"name", "frame_stride", "AP", ...}],
"seconds": {stage: s}}), the pictures, an mp4 and a film strip per video.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from maskprop.commands.demo import Stages
from maskprop.utils import numeric
from maskprop.utils.files import write_json
from maskprop.utils.processes import child_environment


def parse_args() -> argparse.Namespace:
    """Arguments of ``maskprop demo-full``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', default='configs/demo/maskprop_tiny_synthetic.py')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo_full'))
    parser.add_argument('--data', type=Path, default=Path('data/synthetic'))
    parser.add_argument('--seed', type=numeric.seed, default=2026, help='of the set and of the training')
    parser.add_argument('--videos', type=numeric.positive, default=300, help='training clips')
    parser.add_argument('--val-videos', type=numeric.positive, default=120)
    parser.add_argument(
        '--processes', type=numeric.whole(1, 256), default=2, help='training processes; the batch is split'
    )
    parser.add_argument('--show', type=numeric.whole(0), default=4, help='videos to draw')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='as in maskprop train')
    return parser.parse_args()


def run(*command: str | Path, launcher: Sequence[str] = ()) -> None:
    """Run ``maskprop`` with a command's words, as printed, in a process of this environment."""
    words = [*launcher, '-m', 'maskprop', *map(str, command)]
    shown = ' '.join(['python', *words])
    print(f'$ {shown}', flush=True)
    # one thread a process: small convolutions gain nothing from more
    env = {**child_environment(), 'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore'}
    if subprocess.run([sys.executable, *words], env=env).returncode:
        raise SystemExit(f'demo: this command failed: {shown}')


def generate(args: argparse.Namespace) -> None:
    """Make the set, unless this very set is there."""
    numbers = [f'--videos={args.videos}', f'--val-videos={args.val_videos}', f'--seed={args.seed}']
    run('synthetic', args.data, *numbers, '--overwrite')


def train(args: argparse.Namespace, options: list[str]) -> Path:
    """Train on several processes; the last checkpoint."""
    work_dir = args.out / 'train'
    # no validation: the test comes next
    options = [option for option in options if not option.startswith('val_')]
    options += [f'val_{part}=None' for part in ('cfg', 'dataloader', 'evaluator')]
    command = ['train', args.config, '--work-dir', work_dir, '--seed', args.seed, *options]
    if args.processes == 1:
        run(*command)
    else:
        launcher = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={args.processes}']
        run(*command, '--launcher', 'pytorch', launcher=launcher)
    return Path((work_dir / 'last_checkpoint').read_text().strip())


def main() -> None:
    """Do ``maskprop demo-full``."""
    args = parse_args()
    # everything is written where it ends up only when it is whole
    args.out.mkdir(parents=True, exist_ok=True)
    stages = Stages()
    options = [f'{split}_dataloader.dataset.data_root={args.data}' for split in ('train', 'val', 'test')]
    options += [f'{split}_evaluator.ann_file={args.data}/annotations/val.json' for split in ('val', 'test')]
    options = ['--cfg-options', *options, *args.cfg_options]
    with stages('generate', 'Making a synthetic set of video clips'):
        generate(args)
    with stages('train', f'Training MaskProp from scratch on {args.processes} processes'):
        checkpoint = train(args, options)
    with stages('test', 'Testing by maskprop test: video AP, pictures, mp4, film strips'):
        run(
            'test', args.config, checkpoint, '--work-dir', args.out / 'test',
            '--out', args.out / 'results.json', '--submission', args.out / 'submission.zip',
            '--metrics', args.out / 'metrics.json', '--show-dir', args.out / 'show',
            *options, f'visualization.max_videos={args.show}',
        )  # fmt: skip
    with stages('compare', 'Comparing trackers on the same detections'):
        run('compare-variants', args.config, checkpoint, '--out', args.out / 'rows.json', *options)
    rows = json.loads((args.out / 'rows.json').read_text())
    summary = args.out / 'summary.json'
    write_json(summary, dict(rows=rows, seconds=stages.seconds))
    print(f'\nPictures, videos and film strips: {args.out}/show   Table and times: {summary}')
