"""Tests of a study: a model and its variants on the test set."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config

from maskprop.ablation.jobs import Job
from maskprop.ablation.study import slug
from maskprop.evaluation.results_io import ResultsWriter, write_results
from maskprop.utils.text import plural

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import Dataset

DETECTIONS = 'detections.json'  # of another model, in a test's folder


def test(job: Job) -> None:
    """Track the test set with all rows of a model, on the same detections."""
    from maskprop.apis.variants import run_variants

    details = job.details
    stride = details['frame_stride']
    if 'detections_from' in details:
        cfg, checkpoint = details['detections_from']
        write_detections(job.folder / DETECTIONS, cfg, checkpoint, stride)
    model, dataset = load_test(job)
    found = run_variants(
        model,
        dataset,
        details['rows'],
        [stride],
        ground_truth=details['ground_truth'],
        progress=_progress('tracked'),
    )
    for name in details['rows']:
        write_results(job.folder / f'{slug(name)}.json', found[name, stride])


def load_test(job: Job, videos: int | None = None) -> tuple[nn.Module, Dataset]:
    """Model and data set of a test, whose frames are all there: ``run_variants`` takes every stride-th.

    Args:
        videos: the first of the set; None: all.
    """
    import maskprop

    maskprop.register_all()
    from mmdet.registry import DATASETS

    from maskprop.apis import init_model

    details = job.details
    cfg = deepcopy(details['cfg'])
    cfg.test_dataloader.dataset.update(frame_stride=1, indices=videos)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    if 'detections_from' in details:
        cfg.model.detections = dict(
            type='FileDetections', file=str(job.folder / DETECTIONS), format='coco', ann_file=dataset.ann_file
        )
    return init_model(cfg, details['checkpoint']), dataset


def write_detections(file: Path, cfg: Config, checkpoint: str, frame_stride: int) -> None:
    """Write what another model detects in single frames, for ``FileDetections``."""
    import maskprop

    maskprop.register_all()
    from mmdet.registry import DATASETS

    from maskprop.apis import init_model
    from maskprop.apis.frame_detections import detect_frames

    cfg.test_dataloader.dataset.frame_stride = frame_stride
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    with ResultsWriter(file) as writer:
        for records in detect_frames(init_model(cfg, checkpoint), dataset, progress=_progress('detected in')):
            writer.add(records)


def _progress(verb: str) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        if done % 20 == 0 or done == total:
            print(f'{verb} {done} of {plural(total, "video")}', flush=True)

    return show
