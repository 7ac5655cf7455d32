"""Video AP against the reference's Python loops (``reference_video_ap.py``), on two random sets.

    python tools/benchmarks/video_ap.py [--sets validation dense] [--runs 3] [--json OUT] [--doc PAGE]

``validation`` is as large as YouTube-VIS 2019 validation: 302 videos, 6,000 predictions. ``dense`` is one video
of 300 frames with 20 tracks and 100 predictions of one category. Frames are of 720 x 1280 pixels. Both sides
read the same two files; their 12 numbers and the AP of every category must be the same to the last bit. Three
stages are timed: reading the JSON, which the reference does with Python's ``json``; loading, which is checking and
decoding here and indexing in the reference, which checks nothing and decodes when it needs a mask; evaluating.
Compiling is timed apart, in new processes.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import reference_video_ap as reference
from video_sets import DENSE, VALIDATION, SetShape, make_set

from maskprop.evaluation import GroundTruth
from maskprop.evaluation.detections import read_detections
from maskprop.evaluation.matching import match_all
from maskprop.evaluation.validation import load_json
from maskprop.evaluation.video_ap import summarize
from maskprop.utils.files import write_json

SETS = dict(validation=VALIDATION, dense=DENSE)
WARM_UP = SetShape(videos=2, frames=(3, 6), truths=(1, 3), categories=3, predictions=20)  # all code runs once
STAGES = ('read', 'load', 'evaluate')
#: What is compared: the stages that count.
FIGURES = {'evaluation': STAGES[2:], 'loading and evaluation': STAGES[1:], 'from files': STAGES}
#: Evaluates one tiny set in a new process and prints the seconds that took.
FIRST_USE = """
import sys, time
sys.path[:0] = {path!r}
from video_sets import SetShape, make_set
from maskprop.evaluation import evaluate_video_ap
tiny = make_set(SetShape(1, (3, 3), (2, 2), 1, 4), size=(36, 64))
import numba
begin = time.perf_counter()
evaluate_video_ap(*tiny)
print(time.perf_counter() - begin)
"""


class Reference:
    """The reference's stages; each takes what the stage before left."""

    def __init__(self, files: tuple[Path, Path]) -> None:
        self.files = files

    def read(self) -> None:
        self.parsed = [json.loads(file.read_text(encoding='utf-8')) for file in self.files]

    def load(self) -> None:
        self.index = reference.build_index(*self.parsed)

    def evaluate(self) -> None:
        self.numbers = reference.evaluate(self.index)


class MaskProp(Reference):
    """This project's stages, those of ``evaluate_video_ap``."""

    def read(self) -> None:
        self.parsed = [load_json(file) for file in self.files]

    def load(self) -> None:
        self.truth = GroundTruth.from_dict(self.parsed[0])
        self.detections = read_detections(self.truth, self.parsed[1])

    def evaluate(self) -> None:
        result = summarize(self.truth, match_all(self.truth, self.detections))
        self.numbers = (result.metrics, result.per_category)


SIDES: dict[str, Callable] = dict(reference=Reference, maskprop=MaskProp)


def measure(shape: SetShape, runs: int, size: tuple[int, int] = (720, 1280)) -> dict[str, Any]:
    """One set's row: its counts and, by figure, seconds of both sides and their ratios.

    Raises:
        BenchmarkError: the two sides' numbers differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, 'gt.json'), Path(folder, 'results.json')
        data = make_set(shape, size=size)
        row = count(*data)
        for file, content in zip(files, data, strict=True):
            write_json(file, content)
        del data
        sides = {name: side(files) for name, side in SIDES.items()}
        forms = {(name, stage): getattr(side, stage) for name, side in sides.items() for stage in STAGES}
        seconds = common.in_turns(forms, runs, warm_up=False)
    check_equal(sides['reference'].numbers, sides['maskprop'].numbers)
    row['AP'] = sides['maskprop'].numbers[0]['AP']
    for figure, stages in FIGURES.items():
        times = {name: [sum(t) for t in zip(*(seconds[name, s] for s in stages), strict=True)] for name in SIDES}
        row[figure] = dict(times, ratios=common.ratios(times['reference'], times['maskprop']))
    return row


def count(truth: dict, results: list[dict]) -> dict[str, int]:
    """How large a set is; a pair is a detection and a ground truth of one video and category."""
    tracks: dict[tuple[int, int], int] = {}
    for record in truth['annotations']:
        key = record['video_id'], record['category_id']
        tracks[key] = tracks.get(key, 0) + 1
    return dict(
        videos=len(truth['videos']),
        frames=sum(video['length'] for video in truth['videos']),
        tracks=len(truth['annotations']),
        predictions=len(results),
        pairs=sum(tracks.get((record['video_id'], record['category_id']), 0) for record in results),
        masks=sum(mask is not None for record in results for mask in record['segmentations']),
    )


def check_equal(expected: tuple[dict, dict], found: tuple[dict, dict]) -> None:
    """Raise BenchmarkError unless every number is the same to the last bit."""
    if (list(expected[0]), list(expected[1])) != (list(found[0]), list(found[1])):
        raise common.BenchmarkError(f'the numbers are not the same ones: {list(expected[0])}, {list(found[0])}')
    for wanted, got in zip(expected, found, strict=True):
        for name, value in wanted.items():
            if value != got[name]:
                raise common.BenchmarkError(f'{name} is {value!r} by the reference, {got[name]!r} by maskprop')


def first_use() -> tuple[float, float]:
    """Seconds of the first evaluation in a new process: with nothing compiled before, and with it compiled."""
    folders = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2])]
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, '-c', FIRST_USE.format(path=folders)]
        env = dict(os.environ, NUMBA_CACHE_DIR=cache)
        runs = [subprocess.run(command, env=env, check=True, capture_output=True, text=True) for _ in range(2)]
    fresh, cached = (float(run.stdout) for run in runs)
    return fresh, cached


def lines_of(rows: dict[str, dict]) -> list[str]:
    """The tables."""
    counts = [[name, *(f'{row[key]:,}' for key in ('videos', 'frames', 'tracks', 'predictions', 'pairs', 'masks'))]
              for name, row in rows.items()]  # fmt: skip
    lines = common.table(['set', 'videos', 'frames', 'tracks', 'predictions', 'pairs', 'predicted masks'], counts)
    times = [
        [name, figure, *(common.spread(row[figure][key]) for key in ('reference', 'maskprop', 'ratios'))]
        for name, row in rows.items()
        for figure in FIGURES
    ]
    return [*lines, '', *common.table(['set', 'timed', 'reference, s', 'maskprop, s', 'ratio'], times)]


def main() -> None:
    parser = common.parser(__doc__, runs=3)
    parser.add_argument('--sets', nargs='+', choices=SETS, default=list(SETS), help='default: all')
    args = parser.parse_args()
    common.start(args)
    measure(WARM_UP, 1)
    rows: dict[str, Any] = {}
    for name in args.sets:
        rows[name] = measure(SETS[name], args.runs)
        gc.collect()
    fresh, cached = first_use()
    lines = lines_of(rows)
    lines += ['', f'First use in a process: {fresh:.3g} s if nothing was compiled before, then {cached:.2g} s.']
    common.finish(args, dict(rows, first_use=dict(fresh=fresh, cached=cached)), lines)


if __name__ == '__main__':
    main()
