"""See it work, in three minutes on two cores: track objects in synthetic video, then train on new classes.

Run:  maskprop demo [--out work_dirs/demo]      (make demo installs first; make demo-full trains from scratch)

1. Makes 40 video clips of five moving shapes, and tracks their objects by the model maskprop_mini_synthetic, whose
   weights come with the package. ``maskprop`` and ``box_iou``, ids by greedy box IoU, link the same detections.
2. Draws them: pictures (OUT/pictures), videos (OUT/videos), a page that lists what went wrong (OUT/report).
3. Makes clips of eight shapes, three of them new, and trains the model on them (OUT/train).

Writes OUT/summary.json: {"rows": [{"name", "frame_stride", "AP", ...}], "trained": {"AP": ...}, "seconds": {...}}.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from maskprop.utils.files import write_json

MODEL = 'maskprop_mini_synthetic'
TRAINING = 'maskprop_mini_eight_shapes'
STRIDE = 4  # the test's: every fourth frame, where motion is fast

VIDEOS = 40  # the first of those of maskprop demo-full
SHOWN = (1, 2, 3, 4)  # ids of the videos to draw
NEW_VIDEOS = (60, 20)  # of eight shapes: to train on, to validate on
TRUTH = Path('annotations', 'val.json')
SEED = 2026


def parse_args() -> argparse.Namespace:
    """Arguments of ``maskprop demo``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo'), help='folder of all that is made')
    return parser.parse_args()


class Stages:
    """Says what is done and keeps the time of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str, what: str) -> Iterator[None]:
        print(f'\n== {what}', flush=True)
        start = time.time()
        yield
        self.seconds[name] = round(time.time() - start, 1)
        print(f'== {name}: {self.seconds[name]} s', flush=True)


def call(name: str, *words: str | Path | int) -> None:
    """Do a command in this process, which imports torch and mmdet once, and print it as one would type it.

    Raises:
        SystemExit: it failed.
    """
    from maskprop.commands import COMMANDS

    texts = [str(word) for word in words]
    print(f'$ maskprop {name} {shlex.join(texts)}', flush=True)
    own, sys.argv = sys.argv, [f'maskprop {name}', *texts]
    try:
        if status := import_module(f'maskprop.commands.{COMMANDS[name].module}').main():
            sys.exit(status)
    finally:
        sys.argv = own


def make_set(folder: Path, videos: int, val_videos: int, *words: str) -> None:
    """Make a set, unless this very set is there."""
    numbers = [f'--videos={videos}', f'--val-videos={val_videos}', f'--seed={SEED}']
    call('synthetic', folder, *numbers, *words, '--no-report', '--overwrite')


def main() -> None:
    """Do ``maskprop demo``."""
    out, stages = parse_args().out, Stages()
    # one thread: small convolutions gain nothing from more
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    five, eight = out / 'five_shapes', out / 'eight_shapes'
    with stages('generate', f'Making {VIDEOS} clips of five moving shapes'):
        make_set(five, 0, VIDEOS)
    with stages('track', 'Tracking them by a trained model, whose detections are linked in three ways'):
        track(five, out)
    with stages('draw', 'Drawing pictures, videos and a report'):
        draw(five, out)
    with stages('train', 'Training the model on new classes: clips of eight shapes, three of them new'):
        make_set(eight, *NEW_VIDEOS, '--categories=8')
        train(eight, out)
        call('analyze', 'curves', out / 'train', '--out', out / 'train' / 'curves')
    rows, trained = json.loads((out / 'rows.json').read_text()), last_validation(out / 'train')
    write_json(out / 'summary.json', dict(rows=rows, trained=trained, seconds=stages.seconds))
    say_what_is_where(out, trained, stages)


def track(folder: Path, out: Path) -> None:
    """The table of video AP, and the results of its rows."""
    options = [f'test_dataloader.dataset.data_root={folder}', f'test_evaluator.ann_file={folder / TRUTH}']
    call(
        'compare-variants', MODEL, '--frame-strides', STRIDE, '--out', out / 'rows.json',
        '--results-dir', out / 'results', '--cfg-options', *options,
    )  # fmt: skip


def draw(folder: Path, out: Path) -> None:
    """Pictures and videos of some clips, and the report of all."""
    images, results = folder / 'JPEGImages', [out / 'results' / f'{name}.json' for name in ('maskprop', 'box_iou')]
    call(
        'compare-videos', folder / TRUTH, images, '--results', *results, '--ground-truth',
        '--videos', *SHOWN, '--frame-stride', STRIDE, '--out', out / 'pictures',
    )  # fmt: skip
    clips = [images / f'val_{number - 1:05d}' for number in SHOWN]
    call('infer', MODEL, *clips, '--scale', 3, '--out', out / 'videos')
    call(
        'analyze', 'results', folder / TRUTH, results[0], '--images', images,
        '--frame-stride', STRIDE, '--out', out / 'report',
    )  # fmt: skip


def train(folder: Path, out: Path) -> None:
    """Train, and validate at the end; ``--data`` would validate on every frame, four times as long."""
    options = [f'{part}_dataloader.dataset.data_root={folder}' for part in ('train', 'val')]
    options.append(f'val_evaluator.ann_file={folder / TRUTH}')
    call('train', TRAINING, '--work-dir', out / 'train', '--seed', SEED, '--cfg-options', *options)


def last_validation(run: Path) -> dict[str, float]:
    """What the last validation of a training measured, by name."""
    from maskprop.analysis.scalars import read_run

    return {name: series.values[-1] for name, series in read_run(run).validation.items()}


def say_what_is_where(out: Path, trained: dict[str, float], stages: Stages) -> None:
    """The last lines: what to look at, and what to do next."""
    minutes, seconds = divmod(round(sum(stages.seconds.values())), 60)
    print(f"""
Done in {minutes} min {seconds} s. Look at
  {out}/pictures                   ground truth, maskprop and box_iou below each other
  {out}/videos/*/overlay.mp4       the same clips, every frame
  {out}/report/report.html         what was found, and what went wrong in which clip
  {out}/train/curves/report.html   the training; it now finds eight shapes, with an AP of {100 * trained['AP']:.1f}
Next
  maskprop infer mask_rcnn_r50_coco my_video.mp4 --out out   your own video (downloads weights, 170 MB)
  maskprop demo-full                                         train from scratch, 15 to 20 minutes (make demo-full)
  docs/tutorial.md                                           train on your own data""")
