"""Samples per second of one data worker, against what a training step takes and against mmdet's own data set.

    python tools/benchmarks/data_pipeline.py [--instances 4] [--steps-per-second 5]

On 1280x720 JPEG files written for the purpose, with masks as RLE and as polygons: this project's data set and
mmdet's ``YouTubeVISDataset``, both with MaskTrack R-CNN's pipeline (pairs, 640x360, flips); then this project's
pipeline of YouTube-VIS 2019 (shorter side 400 to 800), with the share of each transform. The script fails if the
two data sets don't give the same frames, masks, boxes, labels and ids. The need is one pair a step, of the step of
training_step.py, timed here at 640x360, and of a GPU that does ``--steps-per-second``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import common
import models
import numpy as np
import torch
import training_step
from video_files import CLASSES, write_videos

import maskprop

maskprop.register_all()

from mmcv.transforms import BaseTransform  # noqa: E402
from mmdet.registry import DATASETS  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.dataset import BaseDataset  # noqa: E402
from mmengine.hub import get_config  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402

PEER = 'mmdet'
KINDS = ('rle', 'polygon')
MASK_TRACK = 'mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py'


def peer_pipeline() -> list[dict]:
    """mmdet's training pipeline of MaskTrack R-CNN."""
    return get_config(MASK_TRACK).train_dataloader.dataset.pipeline


def same_pipeline() -> list[dict]:
    """This project's transforms with the peer's sizes: pairs of 640x360."""
    cfg = Config.fromfile(models.CONFIGS / '_base_/datasets/youtube_vis_2019.py')
    sample, broadcaster, pack = cfg.train_pipeline
    resize = next(i for i, t in enumerate(broadcaster.transforms) if t.type == 'RandomResize')
    broadcaster.transforms[resize] = dict(type='Resize', scale=(640, 360), keep_ratio=True)
    return [sample, broadcaster, pack]


def full_pipeline() -> list[dict]:
    """This project's training pipeline of YouTube-VIS 2019."""
    return Config.fromfile(models.CONFIGS / '_base_/datasets/youtube_vis_2019.py').train_pipeline


def build_ours(root: Path, pipeline: list[dict]) -> BaseDataset:
    cfg = dict(type='YouTubeVISJsonDataset', data_root=f'{root}/', ann_file='ytvis.json', pipeline=pipeline)
    return DATASETS.build(dict(cfg, data_prefix=dict(img_path='JPEGImages')))


def build_peer(root: Path, pipeline: list[dict]) -> BaseDataset:
    cfg = dict(type='YouTubeVISDataset', dataset_version='2019', data_root=f'{root}/', ann_file='frames.json')
    prefix = dict(img_path='JPEGImages')
    return DATASETS.build(dict(cfg, data_prefix=prefix, metainfo=dict(classes=CLASSES), pipeline=pipeline))


def check_same(ours: BaseDataset, peer: BaseDataset, frames: Sequence[int] = (0, 1)) -> int:
    """The number of masks compared, of these two frames of each video.

    Raises:
        BenchmarkError: the data sets differ in anything that training sees.
    """
    if len(ours) != len(peer):
        raise common.BenchmarkError(f'{len(ours)} videos here, {len(peer)} there')
    count = 0
    for video in range(len(ours)):
        samples = [_sample(dataset, video, frames) for dataset in (ours, peer)]
        for name, values in _fields(*samples).items():
            if not np.array_equal(*values):
                raise common.BenchmarkError(f'video {video}: {name} differ between this project and mmdet')
        count += sum(len(frame.gt_instances) for frame in samples[0]['data_samples'].video_data_samples)
    return count


def _sample(dataset: BaseDataset, video: int, frames: Sequence[int]) -> dict:
    """A sample of given frames: the pipeline without its first step, which draws them, from a fixed seed."""
    images = dataset.get_data_info(video)['images']
    results = defaultdict(list)
    for frame in frames:
        for key, value in dict(images[frame], video_id=video, ori_video_length=len(images)).items():
            results[key].append(value)
    results.update(key_frame_flags=[True, False], video_length=[len(frames)] * len(frames))
    np.random.seed(video)
    for transform in dataset.pipeline.transforms[1:]:
        results = transform(results)
    return results


def _fields(a: dict, b: dict) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found: dict[str, tuple] = dict(images=(a['inputs'].numpy(), b['inputs'].numpy()))
    for frame in range(len(a['inputs'])):
        both = [sample['data_samples'][frame].gt_instances for sample in (a, b)]
        found[f'masks of frame {frame}'] = tuple(i.masks.masks for i in both)
        for name in ('bboxes', 'labels', 'instances_ids'):
            found[f'{name} of frame {frame}'] = tuple(np.asarray(i[name]) for i in both)
    return found


class Worker:
    """What a data worker does: the next sample, key frames in a fixed random order."""

    def __init__(self, dataset: BaseDataset) -> None:
        self.dataset, self.rng = dataset, np.random.default_rng(0)

    def __call__(self) -> None:
        video = int(self.rng.integers(len(self.dataset)))
        frame = int(self.rng.integers(self.dataset.get_len_per_video(video)))
        self.dataset[(video, frame)]


def shares(dataset: BaseDataset, samples: int) -> dict[str, float]:
    """Share of each transform in the time of a sample; what is left over is the data set's own.

    Args:
        dataset: its transforms are timed; those of both frames of a pair count together.
        samples: to draw.
    """
    seconds: dict[str, float] = defaultdict(float)
    broadcaster = next(t for t in dataset.pipeline.transforms if type(t).__name__ == 'TransformBroadcaster')
    timed = [t for t in dataset.pipeline.transforms if t is not broadcaster]
    timed += broadcaster.transforms.transforms
    for transform in timed:
        _time_calls(transform, seconds)
    worker = Worker(dataset)
    begin = time.perf_counter()
    for _ in range(samples):
        worker()
    total = time.perf_counter() - begin
    for transform in timed:
        del transform.transform
    found = {name: spent / total for name, spent in seconds.items()}
    return dict(found, rest=1 - sum(found.values()))


def _time_calls(transform: BaseTransform, seconds: dict[str, float]) -> None:
    """Add the time of every call under the transform's name, until its ``transform`` is deleted."""
    name, function = type(transform).__name__, transform.transform

    def call(results: dict) -> dict:
        begin = time.perf_counter()
        results = function(results)
        seconds[name] += time.perf_counter() - begin
        return results

    transform.transform = call


def measure(root: Path, kind: str, args: argparse.Namespace) -> dict[str, dict]:
    """Seconds per sample of both data sets and this project's own pipeline, and its shares, on masks of a kind."""
    write_videos(root, kind, args.videos, args.frames, args.instances)
    ours, peer = build_ours(root, same_pipeline()), build_peer(root, peer_pipeline())
    masks = check_same(ours, peer)
    print(f'{kind}: {len(ours)} videos, {masks} masks of two frames each: the same in both data sets')
    full = build_ours(root, full_pipeline())
    workers = {'this project, 640x360': Worker(ours), f'{PEER}, 640x360': Worker(peer)}
    workers['this project, 400 to 800'] = Worker(full)
    repeats = dict.fromkeys(workers, args.samples)
    found = common.in_turns(workers, args.runs, repeats=repeats)
    return dict(seconds=found, shares=shares(full, args.samples))


def step_seconds(args: argparse.Namespace) -> list[float]:
    """Seconds of MaskProp's training step at 640x360, with all threads."""
    torch.set_num_threads(args.threads)
    step_args = training_step.parse_args(['--device', args.device])
    step = training_step.build_step('MaskProp', step_args)
    return common.in_turns(dict(step=step), 2, args.device)['step']


def tables(found: dict[str, dict], step: Sequence[float], rate: float) -> list[str]:
    """Lines of the tables of rates and of shares."""
    rows = []
    for kind, result in found.items():
        peer = result['seconds'][f'{PEER}, 640x360']
        for name, seconds in result['seconds'].items():
            ratio = common.spread(common.ratios(peer, seconds)) if name == 'this project, 640x360' else ''
            times = 1 / median(seconds) * median(step)
            speed = common.spread([1 / s for s in seconds])
            rows.append([kind, name, speed, ratio, f'{times:.0f}', f'{rate * median(seconds):.1f}'])
    head = ['masks', 'data set and shorter side', 'samples/s per worker', f'times {PEER}', 'times the step here']
    lines = common.table([*head, f'workers for {rate:g} steps/s'], rows)
    names = list(found[KINDS[0]]['shares'])
    cells = [[kind, *(f'{result["shares"][name]:.0%}' for name in names)] for kind, result in found.items()]
    text = f'A step here, 640x360: {common.spread(step)} s. Shares of a sample, shorter side 400 to 800:'
    return [*lines, '', text, '', *common.table(['masks', *names], cells)]


def parse_args(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = common.parser(__doc__, runs=5)
    parser.add_argument('--videos', type=int, default=3, help='of the set; default: %(default)s')
    parser.add_argument('--frames', type=int, default=8, help='of a video; default: %(default)s')
    parser.add_argument('--instances', type=int, default=4, help='in each frame; default: %(default)s')
    parser.add_argument('--samples', type=int, default=10, help='in a round; default: %(default)s')
    parser.add_argument(
        '--steps-per-second', type=float, default=5.0, help='of a GPU to be fed; default: %(default)s'
    )
    return parser.parse_args(words)


def main() -> None:
    args = parse_args()
    common.start(args)
    MMLogger.get_instance('benchmarks', log_level='ERROR')
    step = step_seconds(args)
    torch.set_num_threads(1)  # as a data worker has
    found = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            found[kind] = measure(Path(folder), kind, args)
    rows = dict(found, step=step, steps_per_second=args.steps_per_second)
    common.finish(args, rows, tables(found, step, args.steps_per_second))


if __name__ == '__main__':
    main()
