"""How the CPU time of the tools that read annotations grows when one size is doubled.

    python -m tests.fuzz.growth [check_dataset split_dataset eval_results]

A factor of 2 a doubling is linear growth, 4 quadratic.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pycocotools import mask as coco_mask

from maskprop.datasets.splits import write_split
from maskprop.datasets.ytvis_json import find_problems
from maskprop.evaluation import load_ground_truth, read_results, score_results
from tests.fuzz.verdicts import quiet

SMALL = dict(videos=40, frames=10, objects=4, categories=10, predictions=4)
DOUBLINGS = 3


def write(folder: Path, videos: int, frames: int, objects: int, categories: int, predictions: int) -> None:
    """gt.json and results.json; every object has the same mask, moved by a row."""
    runs = [dict(size=[24, 32], counts=[row, 6, 24 * 32 - row - 6]) for row in range(12)]
    masks = [dict(size=[24, 32], counts=coco_mask.frPyObjects(r, 24, 32)['counts'].decode()) for r in runs]
    tracks, results = [], []
    for video in range(1, videos + 1):
        for number in range(objects):
            track = [masks[(frame + number) % 12] for frame in range(frames)]
            tracks.append(
                dict(id=len(tracks) + 1, video_id=video, category_id=1 + (video + number) % categories, iscrowd=0,
                     segmentations=track, bboxes=[[0, 0, 2, 2]] * frames, areas=[6] * frames)
            )  # fmt: skip
        for number in range(predictions):
            track = [masks[(frame + number) % 12] for frame in range(frames)]
            category = 1 + (video + number) % categories
            results.append(dict(video_id=video, category_id=category, score=0.5, segmentations=track))
    gt = dict(
        videos=[
            dict(id=v, width=32, height=24, length=frames, file_names=[f'{v}/{f}.jpg' for f in range(frames)])
            for v in range(1, videos + 1)
        ],
        categories=[dict(id=c, name=f'c{c}') for c in range(1, categories + 1)],
        annotations=tracks,
    )
    (folder / 'gt.json').write_text(json.dumps(gt))
    (folder / 'results.json').write_text(json.dumps(results))


def check(folder: Path) -> None:
    assert not [p for p in find_problems(folder / 'gt.json') if p.severity == 'error']


def split(folder: Path) -> None:
    videos = len(json.loads((folder / 'gt.json').read_text())['videos'])
    write_split(folder / 'gt.json', videos // 5, 0, overwrite=True)


def score(folder: Path) -> None:
    score_results(load_ground_truth(folder / 'gt.json'), read_results(folder / 'results.json'))


TOOLS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = dict(
    check_dataset=(check, ('videos', 'frames', 'objects', 'categories')),
    split_dataset=(split, ('videos', 'objects', 'categories')),
    eval_results=(score, ('videos', 'frames', 'objects', 'predictions', 'categories')),
)


def measure(tool: str, size: str, doublings: int = DOUBLINGS) -> list[float]:
    """CPU seconds at each size, of three tries the least."""
    seconds = []
    for number in range(doublings + 1):
        with tempfile.TemporaryDirectory() as name:
            write(Path(name), **{**SMALL, size: SMALL[size] * 2**number})
            tries = []
            for _ in range(3):
                start = time.process_time()
                with quiet():
                    TOOLS[tool][0](Path(name))
                tries.append(time.process_time() - start)
            seconds.append(min(tries))
    return seconds


def main() -> None:
    chosen = sys.argv[1:] or list(TOOLS)
    print('| tool | size | CPU seconds at 1, 2, 4, ... times the size | last factor |\n|---|---|---|---|')
    for tool, (_, sizes) in ((name, TOOLS[name]) for name in chosen):
        for size in sizes:
            seconds = measure(tool, size)
            row = ', '.join(f'{second:.3f}' for second in seconds)
            print(f'| {tool} | {size} {SMALL[size]} | {row} | {seconds[-1] / seconds[-2]:.1f} |', flush=True)


if __name__ == '__main__':
    main()
