"""From an annotation file to a data set that is ready for training: this project against mmdet's data set.

    python tools/benchmarks/data_loading.py [--kinds polygon] [--runs 1]

The files are as large as YouTube-VIS 2019 training: 2,238 videos, with masks as polygons, as lists of runs and as
compressed RLE, which no frame is needed for. mmdet reads a format of its own, with a record for each object and
frame; its converter is not timed. Both sides read, parse, filter and serialise; only this project checks what it
reads. The script fails if the two don't have the same objects with the same boxes, labels and masks. Times are CPU
seconds of one thread, memory is the most that a side adds to a process that has the libraries loaded.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
from annotation_files import KINDS, TRAINING, FileShape, write_files

import maskprop

maskprop.register_all()

from mmdet.datasets import YouTubeVISDataset  # noqa: E402
from mmdet.registry import DATASETS  # noqa: E402
from mmengine.dataset import BaseDataset  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402

from maskprop.datasets.rle import compress  # noqa: E402

SIDES = ('maskprop', 'mmdet')
FILES = ('ytvis.json', 'frames.json')
SHARE_CHECKED = 50  # one video in so many is compared


def classes() -> tuple[str, ...]:
    """The names that mmdet's data set knows."""
    YouTubeVISDataset.set_dataset_classes('2019')
    return YouTubeVISDataset.METAINFO['classes']


def build(root: Path, side: str) -> BaseDataset:
    """The data set of one side, ready for samples."""
    common_keys = dict(data_root=f'{root}/', data_prefix=dict(img_path='JPEGImages'), pipeline=[])
    if side == 'maskprop':
        return DATASETS.build(dict(type='YouTubeVISJsonDataset', ann_file='ytvis.json', **common_keys))
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools says that it reads
        return DATASETS.build(
            dict(type='YouTubeVISDataset', dataset_version='2019', ann_file='frames.json', **common_keys)
        )


def check_same(ours: BaseDataset, peer: BaseDataset) -> int:
    """The number of objects compared.

    Raises:
        BenchmarkError: the two sides have other videos, frames or objects.
    """
    if len(ours) != len(peer):
        raise common.BenchmarkError(f'{len(ours)} videos here, {len(peer)} there')
    count = 0
    for video in range(0, len(ours), SHARE_CHECKED):
        found = [_objects(dataset.get_data_info(video)) for dataset in (ours, peer)]
        # mmdet leaves frames without an object out
        for frame, objects in found[1].items():
            if objects != found[0][frame]:
                raise common.BenchmarkError(f'video {video}, {frame}: the objects differ')
            count += len(objects)
        if sum(map(len, found[0].values())) != sum(map(len, found[1].values())):
            raise common.BenchmarkError(f'video {video}: the number of objects differs')
    return count


def _objects(info: dict) -> dict[str, list[tuple]]:
    return {
        image['img_path']: [
            (
                o['bbox'],
                o['bbox_label'],
                o['instance_id'],
                o['ignore_flag'],
                compress(o['mask'], image['height'], image['width']),
            )
            for o in image['instances']
        ]
        for image in info['images']
    }


def measure(kind: str, shape: FileShape, runs: int) -> dict[str, Any]:
    """Counts, CPU seconds of both sides in each round, their ratios, and memory at most in MiB."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        row: dict[str, Any] = write_files(root, shape, kind, classes())
        row['MiB'] = {s: (root / f).stat().st_size / 2**20 for s, f in zip(SIDES, FILES, strict=True)}
        forms: dict[str, Callable[[], BaseDataset]] = {side: lambda side=side: build(root, side) for side in SIDES}
        row['memory'], sets = {}, []
        for side, form in forms.items():  # warms up, too
            dataset, row['memory'][side] = common.memory_growth(form)
            sets.append(dataset)
        row['compared'] = check_same(*sets)
        row['bytes'] = {side: dataset.data_bytes.nbytes / 2**20 for side, dataset in zip(SIDES, sets, strict=True)}
        del sets, dataset
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(runs):
            for side, form in forms.items():
                begin = time.process_time()
                form()
                seconds[side].append(time.process_time() - begin)
    return dict(row, seconds=seconds, ratios=common.ratios(seconds['mmdet'], seconds['maskprop']))


def lines_of(rows: dict[str, dict]) -> list[str]:
    """The table."""
    head = ['masks', 'data set', 'file, MiB', 'CPU seconds', 'mmdet / maskprop', 'memory, MiB', 'kept, MiB']
    table = []
    for kind, row in rows.items():
        for side in SIDES:
            ratio = f'{common.spread(row["ratios"])}x' if side == 'maskprop' else ''
            cells = [common.mebibytes(row[key][side]) for key in ('MiB', 'memory', 'bytes')]
            table.append([kind, side, cells[0], common.spread(row['seconds'][side]), ratio, *cells[1:]])
    some = next(iter(rows.values()))
    counts = ', '.join(f'{some[key]:,} {key}' for key in ('videos', 'frames', 'objects', 'masks'))
    return [f'{counts}.', '', *common.table(head, table)]


def main() -> None:
    parser = common.parser(__doc__, runs=3)
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=KINDS, help='of masks; default: all')
    parser.add_argument('--videos', type=int, default=TRAINING.videos, help='default: %(default)s')
    args = parser.parse_args()
    common.start(args)
    MMLogger.get_instance('data_loading', log_level='WARNING')
    shape = replace(TRAINING, videos=args.videos)
    rows = {kind: measure(kind, shape, args.runs) for kind in args.kinds}
    common.finish(args, rows, lines_of(rows))


if __name__ == '__main__':
    main()
