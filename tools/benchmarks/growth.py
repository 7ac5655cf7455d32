"""How time and memory of the tools that read annotations and results grow with each size of a set.

    python tools/benchmarks/growth.py [--tools split test] [--sizes videos frames] [--steps 1 4 16 64] [--runs 1]

Each of the numbers of videos, frames, objects, predictions and categories is made 4 and 16 times as large, the
others staying as they are, and each tool is run on the set. What it costs to begin with is that of a set with
one video (three for split), frame, ... only; beyond it, the cost grows as n^p. The p of the last two columns is
that of the last step, from 4 to 16 times the size. It is left out where the largest set costs less than 1.2
times as much as the smallest: then this size hardly counts. Each run is forked from one process that has all
imported, so that its CPU seconds and its memory (the most beyond that process) are its own. Of several runs the
least counts, as other processes only ever add to CPU seconds.

``train`` is a training's start but for the model: the file, its frames, key frames, the order of an epoch.
``test`` is the demo's model on detections from a file, from the frames to scores.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import math
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import common
import cv2
import models
import numpy as np
import torch
from pycocotools import mask as mask_api

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402
from mmengine.config import Config  # noqa: E402
from yapf.yapflib import yapf_api  # noqa: E402

from maskprop.commands import check_dataset, eval_results, split_dataset  # noqa: E402
from maskprop.datasets.samplers import SeededFrameSampler  # noqa: E402
from maskprop.datasets.sound_masks import MANY, MaskReader  # noqa: E402
from maskprop.engine import runs  # noqa: E402
from maskprop.engine.checks import build_dataset  # noqa: E402
from maskprop.engine.num_classes import fit_num_classes  # noqa: E402

HEIGHT, WIDTH = 32, 64
LEAST_GROWTH = 1.2  # of the whole cost; what grows less is noise
_MOST_START = 0.9  # of the cost before the last step: what the start is at most taken to be
STEPS = (1, 4, 16)
SIZES = ('videos', 'frames', 'objects', 'predictions', 'categories')
SMALL = dict(videos=40, frames=20, objects=8, predictions=4, categories=10)  # enough masks for compiled loops


class Tool(NamedTuple):
    """A tool: what it does in a folder, the sizes of its set, what comes before it is timed, the fewest videos."""

    run: Callable[[Path], Any]
    small: dict[str, int]
    prepare: Callable[[Path], Any] = lambda folder: None
    videos: int = 1


def write_set(
    folder: Path, videos: int, frames: int, objects: int, predictions: int, categories: int, images: bool = True
) -> None:
    """``gt.json``, ``results.json`` and, if asked for, ``images``: objects of one shape, each in its own place.

    Args:
        objects, predictions: of each video.
    """
    boxes = [(x, y, 12, 8) for y in range(0, HEIGHT - 8, 3) for x in range(0, WIDTH - 12, 3)]
    masks = []
    for x, y, w, h in boxes:
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order='F')
        mask[y : y + h, x : x + w] = 1
        masks.append(dict(size=[HEIGHT, WIDTH], counts=mask_api.encode(mask)['counts'].decode('ascii')))
    listed, tracks, results = [], [], []
    for video in range(1, videos + 1):
        names = [f'{video}/{frame}.png' for frame in range(frames)]
        listed.append(dict(id=video, width=WIDTH, height=HEIGHT, length=frames, file_names=names))
        for number in range(max(objects, predictions)):
            chosen = [(7 * number + frame) % len(boxes) for frame in range(frames)]
            record = dict(video_id=video, category_id=1 + (video + number) % categories)
            record['segmentations'] = [masks[i] for i in chosen]
            if number < objects:
                ids = dict(id=len(tracks) + 1, iscrowd=0)
                tracks.append({**record, **ids, 'bboxes': [boxes[i] for i in chosen], 'areas': [96] * frames})
            if number < predictions:
                results.append(dict(record, score=0.5 + 0.4 / (1 + number)))
    names = [dict(id=c, name=f'c{c}') for c in range(1, categories + 1)]
    (folder / 'gt.json').write_text(json.dumps(dict(videos=listed, categories=names, annotations=tracks)))
    (folder / 'results.json').write_text(json.dumps(results))
    if images:
        write_images(folder, listed)


def write_images(folder: Path, videos: Sequence[dict]) -> None:
    """The frames, all links to one picture."""
    picture = folder / 'picture.png'
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    cv2.imwrite(str(picture), noise)
    for video in videos:
        for name in video['file_names']:
            path = folder / 'images' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(picture)


def command(main: Callable[[], Any], *words: str) -> None:
    """Do a command as from the shell.

    Raises:
        BenchmarkError: it failed.
    """
    own = sys.argv
    sys.argv = ['growth', *words]
    try:
        if main():
            raise common.BenchmarkError(f'{" ".join(words)}: failed')
    finally:
        sys.argv = own  # of which the page shows the command


def check(folder: Path) -> None:
    command(check_dataset.main, str(folder / 'gt.json'))


def split(folder: Path) -> None:
    command(split_dataset.main, str(folder / 'gt.json'), '--val-share', '0.2', '--out-dir', str(folder / 'split'))


def score(folder: Path) -> None:
    command(eval_results.main, str(folder / 'gt.json'), str(folder / 'results.json'))


def start_training(folder: Path) -> None:
    """What comes before the first step, without the model."""
    dataset = dict(type='YouTubeVISJsonDataset', data_root=str(folder), ann_file='gt.json', pipeline=[])
    dataset['data_prefix'] = dict(img_path='images')
    list(SeededFrameSampler(build_dataset(Config(dict(train_dataloader=dict(dataset=dataset))), 'train')))


def test_config(folder: Path) -> Config:
    """The demo's model; detections come from the results file."""
    cfg = Config.fromfile(models.CONFIGS / 'demo/maskprop_tiny_synthetic.py')
    source = dict(file=str(folder / 'results.json'), ann_file=str(folder / 'gt.json'))
    cfg.model.detections = dict(type='FileDetections', format='ytvis', **source)
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    return cfg


def write_checkpoint(folder: Path) -> None:
    cfg = test_config(folder)
    categories = json.loads((folder / 'gt.json').read_text())['categories']
    fit_num_classes(cfg.model, len(categories), 'gt.json')
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), folder / 'model.pth')


def run_test(folder: Path) -> None:
    data = str(folder / 'gt.json')
    runs.test(
        test_config(folder),
        folder / 'model.pth',
        work_dir=folder,
        out=folder / 'out.json',
        data=data,
        split='test',
    )


TOOLS = dict(
    check=Tool(check, SMALL),
    split=Tool(split, SMALL, videos=3),  # of which a fifth is one
    eval=Tool(score, SMALL),
    train=Tool(start_training, SMALL),
    test=Tool(run_test, dict(videos=2, frames=4, objects=2, predictions=2, categories=3), write_checkpoint),
)
IRRELEVANT = dict(check=('predictions',), split=('predictions',), train=('predictions',))
WITH_IMAGES = ('train', 'test')


def warm_up() -> None:
    """Let this process load what the tools compile, so that the forked ones have it.

    With a small set: memory that this process has freed would be taken by them without a trace. Its own objects
    are left out of garbage collections, which would walk them at a time that depends on the size.
    """
    with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(io.StringIO()):
        write_set(Path(root), **{**SMALL, 'videos': 2})
        for name in ('check', 'eval', 'train'):
            TOOLS[name].run(Path(root))
        masks = json.loads((Path(root) / 'gt.json').read_text())['annotations'][0]['segmentations']
        MaskReader(MANY, for_training=True).read(masks, HEIGHT, WIDTH)
    yapf_api.FormatCode = lambda text, **kwargs: (text, False)  # makes a config pretty, in seconds
    gc.collect()
    gc.freeze()


def measure(name: str, size: str, step: int) -> tuple[float, float]:
    """CPU seconds and MiB of a tool whose set is so many times as large in one size, in a process of its own.

    Step 0 is a set with one of that size, or the least number of videos.

    Raises:
        BenchmarkError: it failed.
    """
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, name, size, step))
    process.start()
    sender.close()
    try:
        found = receiver.recv()
    except EOFError:
        raise common.BenchmarkError(
            f'{name}, {step} times the {size}: the process ended without a number'
        ) from None
    finally:
        process.join()
    return found


def _measure(sender: Any, name: str, size: str, step: int) -> None:
    tool = TOOLS[name]
    seconds = 0.0

    def form() -> None:
        nonlocal seconds
        begin = time.process_time()
        tool.run(folder)
        seconds = time.process_time() - begin

    with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(root)
        least = tool.videos if size == 'videos' else 1
        write_set(folder, **{**tool.small, size: tool.small[size] * step or least}, images=name in WITH_IMAGES)
        tool.prepare(folder)
        memory = common.memory_growth(form)[1]
    sender.send((seconds, math.nan if memory is None else memory))


def exponent(start: float, costs: Sequence[float], steps: Sequence[int]) -> float | None:
    """p of the last of the steps, by the costs beyond that of the start; None where the size hardly counts."""
    before, last = costs[-2:]
    if last < LEAST_GROWTH * min(start, *costs) or last <= before:
        return None
    begin = min(start, before * _MOST_START)
    return math.log((last - begin) / (before - begin), steps[-1] / steps[-2])


def lines_of(rows: Sequence[dict]) -> list[str]:
    """The table."""
    times = ', '.join(map(str, rows[0]['steps'][1:]))
    head = ['tool', 'size', f'CPU seconds of one, and of {times} times', 'MiB', 'p of time', 'p of memory']
    table = []
    for row in rows:
        powers = [exponent(row[key][0], row[key][1:], row['steps'][1:]) for key in ('seconds', 'memory')]
        cells = ['' if power is None else f'{power:.2f}' for power in powers]
        seconds = ', '.join(f'{value:.3g}' for value in row['seconds'])
        memory = ', '.join(f'{value:.0f}' for value in row['memory'])
        table.append([row['tool'], f'{row["size"]}, {row["small"]}', seconds, memory, *cells])
    return common.table(head, table)


def main() -> None:
    parser = common.parser(__doc__, runs=2)
    parser.set_defaults(threads=1)
    parser.add_argument('--tools', nargs='+', choices=TOOLS, default=list(TOOLS), help='default: all')
    parser.add_argument('--sizes', nargs='+', choices=SIZES, default=SIZES, help='default: all')
    parser.add_argument('--steps', type=int, nargs='+', default=STEPS, help='times the size; default: 1 4 16')
    args = parser.parse_args()
    common.start(args)
    steps = [0, *args.steps]
    warnings.simplefilter('ignore')
    warm_up()
    rows = []
    for name in args.tools:
        for size in args.sizes:
            if size in IRRELEVANT.get(name, ()):
                continue
            tries = np.array([[measure(name, size, step) for step in steps] for _ in range(args.runs)])
            seconds, memory = tries.min(axis=0).T.tolist()
            row = dict(tool=name, size=size, small=TOOLS[name].small[size], steps=steps)
            rows.append(dict(row, seconds=seconds, memory=memory))
            print(lines_of(rows)[-1], flush=True)
    common.finish(args, rows, lines_of(rows))


if __name__ == '__main__':
    main()
