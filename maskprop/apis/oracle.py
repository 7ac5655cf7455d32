"""The oracle study (ObjProp, Section 2.1 and Table 1): what wrong boxes, classes, masks and ids cost in video AP.

Each row replaces one more part of the model's output by the ground truth. All rows share one backbone and detector
pass a frame, and go through the stream, the results and the evaluation that the model itself goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor
from torchvision.ops import box_iou

from maskprop.apis.views import load_views
from maskprop.evaluation import METRIC_NAMES, GroundTruth, evaluate_video_ap
from maskprop.evaluation.results_io import name_categories
from maskprop.models.duplicates import group_duplicates
from maskprop.models.view_frames import network_boxes
from maskprop.structures import Frame, PerInstance

if TYPE_CHECKING:
    from maskprop.structures import View
    from maskprop.tracking.video_stream import VideoStream

Results = list[dict]


class OracleRow(NamedTuple):
    """A row of the table.

    Attributes:
        name: key of its results.
        paper: ObjProp's AP in percent, of MaskTrack R-CNN on the mini-validation set of YouTube-VIS.
        overrides: what it replaces in ``model.start_video``.
    """

    name: str
    paper: float
    overrides: dict


# every mask is the ground truth's: the stream makes none of its own
GIVEN_MASKS = dict(fill=False, history_fill=None, output_mask='detection')
ROWS = (
    OracleRow('model', 36.8, {}),
    OracleRow('box', 41.9, {}),
    OracleRow('class', 53.1, {}),
    OracleRow('mask', 85.3, GIVEN_MASKS),
    OracleRow('track', 100.0, dict(GIVEN_MASKS, min_frames=1)),
)


@TASK_UTILS.register_module()
class OracleLinker:
    """Gives the ids that are known beforehand.

    Args:
        ids: of each frame, the ids of its instances in their order.
    """

    needs_clips = False
    needs = ()

    def __init__(self, ids: Sequence[Sequence[int]]) -> None:
        self.ids = ids
        self._frame = 0

    def link(self, frame: Frame) -> list[int]:
        """Ids of the next frame's instances.

        Raises:
            ValueError: the frame has another number of instances than ids, or there are ids of fewer frames.
        """
        ids = list(self.ids[self._frame]) if self._frame < len(self.ids) else None
        if ids is None or len(ids) != len(frame):
            found = 'none' if ids is None else len(ids)
            raise ValueError(f'frame {self._frame}: {len(frame)} instances, but {found} ids were given for it')
        self._frame += 1
        return ids


@torch.no_grad()
def oracle_results(
    model: torch.nn.Module,
    dataset: torch.utils.data.Dataset,
    box_threshold: float = 0.5,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Results]:
    """The results of every row on every video of a set.

    Args:
        model: a ``VideoMaskRCNN`` in evaluation mode.
        dataset: a ``YouTubeVISJsonDataset`` in test mode with annotations; crowds are left out of them.
        box_threshold: a detection takes a ground-truth box from this IoU on.
        progress: called with (videos done, videos in all).

    Returns:
        ``{name of the row: results}`` in the YouTube-VIS format, rows as in ``ROWS``.

    Raises:
        ValueError: the model's detections come from a file.
    """
    if model.reads_detections:
        raise ValueError('the oracle study replaces parts of the detector, but model.detections reads a file')
    results: dict[str, Results] = {row.name: [] for row in ROWS}
    names = dict(zip(dataset.metainfo['category_ids'], dataset.metainfo['classes'], strict=True))
    for video in range(len(dataset)):
        info = dataset.get_data_info(video)
        truth = [[i for i in image['instances'] if not i['ignore_flag']] for image in info['images']]
        streams = _start_rows(model, truth)
        needs = set().union(*(stream.needs for stream in streams.values()))
        for index, view in load_views(model, dataset, video, range(len(truth))):
            frames = oracle_frames(model, view, truth[index], box_threshold, needs)
            for name, stream in streams.items():
                stream.push(frames[name])
        for name, stream in streams.items():
            stream.finish()
            tracked = stream.video_instances()
            results[name] += name_categories(tracked.to_results(info['video_id'], list(names)), names)
        if progress is not None:
            progress(video + 1, len(dataset))
    return results


def _start_rows(model: torch.nn.Module, truth: list[list[dict]]) -> dict[str, VideoStream]:
    """A stream for each row; that of the last one knows the ids of ``truth``, the annotations of every frame."""
    ids = [[instance['instance_id'] for instance in instances] for instances in truth]
    streams = {}
    for row in ROWS:
        linker = dict(type='OracleLinker', ids=ids) if row.name == 'track' else None
        streams[row.name] = model.start_video(linker=linker, **row.overrides)
    return streams


@torch.no_grad()
def oracle_frames(
    model: torch.nn.Module,
    view: View,
    instances: list[dict],
    box_threshold: float = 0.5,
    needs: Collection[str] | None = None,
) -> dict[str, Frame]:
    """One frame as each row has it, from one backbone and detector pass.

    Args:
        model: a ``VideoMaskRCNN`` in evaluation mode.
        view: the frame's features, image and meta.
        instances: the frame's annotations without crowds, see ``FrameEncoder.from_instances``.
        box_threshold: a detection takes a ground-truth box from this IoU on.
        needs: codes of the frames, as in ``model.encode``.
    """
    feats, detector, encoder = view.feats, model.frame_detector, model.frame_encoder
    found = detector.detect(feats, [view.meta])[0]
    truth = encoder.from_instances(view, instances, needs=needs)
    # codes of the whole frame don't depend on the boxes: they are made once, with the truth
    shared = {name: code for name, code in truth.codes.items() if not isinstance(code, PerInstance)}
    own = set(model.heads if needs is None else needs) - set(shared)

    def frame_at(boxes: Tensor, scores: Tensor, labels: Tensor, groups: np.ndarray) -> Frame:
        roi_masks = detector.masks_at(feats, [boxes], [labels])[0]
        moved = found._replace(boxes=boxes, scores=scores, labels=labels, roi_masks=roi_masks)
        return encoder.from_detections(view, moved, groups, own)

    true_boxes = network_boxes(instances, view.meta, found.boxes.device)
    boxes, targets = take_boxes(found.boxes, true_boxes, box_threshold)
    groups = group_duplicates(_apart(boxes, targets), found.scores, model.merge_iou)
    labels = found.labels.new_tensor([i['bbox_label'] for i in instances])
    unmerged = torch.arange(len(instances), device=labels.device)
    frames = {
        'model': encoder.from_detections(view, found, needs=own),
        'box': frame_at(boxes, found.scores, found.labels, groups),
        'class': frame_at(true_boxes, found.scores.new_ones(len(instances)), labels, unmerged),
        'mask': truth,
        'track': truth,
    }
    image = view.rgb(model.data_preprocessor) if 'image' in (needs or ()) else None
    return {name: replace(frame, codes={**frame.codes, **shared}, image=image) for name, frame in frames.items()}


def take_boxes(boxes: Tensor, true_boxes: Tensor, threshold: float = 0.5) -> tuple[Tensor, Tensor]:
    """Each detection takes the ground-truth box of highest IoU, whatever its class; of equal ones the first.

    Args:
        boxes: (N, 4) float, (x1, y1, x2, y2). true_boxes: (M, 4) float. threshold: from this IoU on.

    Returns:
        (N, 4) float, a ground-truth box or the detection's own; (N,) long, which it is, -1 for its own.
    """
    targets = boxes.new_full((len(boxes),), -1, dtype=torch.long)
    if len(boxes) == 0 or len(true_boxes) == 0:
        return boxes, targets
    overlaps = box_iou(boxes, true_boxes)
    best = overlaps.argmax(1)
    close = overlaps.gather(1, best[:, None])[:, 0] >= threshold
    targets[close] = best[close]
    return torch.where(close[:, None], true_boxes[best], boxes), targets


def _apart(boxes: Tensor, targets: Tensor) -> Tensor:
    """Boxes moved so that those that took different ground-truth boxes have IoU 0 and are not merged."""
    extent = boxes.max() + 1 if len(boxes) else 0
    return boxes + ((targets + 1) * extent)[:, None]


def score_rows(truth: GroundTruth, results: dict[str, Results]) -> list[dict]:
    """Video AP of every row.

    Args:
        truth: the ground truth of the same frames. results: of :func:`oracle_results`.

    Returns:
        for each row, ``name``, the 12 metrics in 0..1, ``gain`` (AP over that of the row before; None for the
        first) and ``paper_AP``, ObjProp's number in 0..1.
    """
    rows: list[dict] = []
    for row in ROWS:
        scored = evaluate_video_ap(truth, results[row.name], allow_empty=True)
        gain = scored['AP'] - rows[-1]['AP'] if rows else None
        metrics = {name: scored[name] for name in METRIC_NAMES}
        rows.append(dict(name=row.name, **metrics, gain=gain, paper_AP=row.paper / 100))
    return rows


def count_unseen(truth: GroundTruth) -> int:
    """Objects to be found that have no mask in any frame: no result can match them, the last row's neither."""
    return sum(int(((v.masks.areas.sum(axis=1) == 0) & ~v.crowd).sum()) for v in truth.videos)


def format_table(rows: list[dict]) -> str:
    """The rows as ObjProp's Table 1 has them, in percent, beside the paper's numbers."""
    parts = [row.name for row in ROWS[1:]]
    lines = [
        f'{"":27s}  AP    AP50   AP75   gain   paper* gain*',
        ' '.join(f'{part.capitalize():5s}' for part in parts),
    ]
    before = None
    for number, row in enumerate(rows):
        ticks = ' '.join(f'{"x" if place < number else "-":5s}' for place in range(len(parts)))
        gain = '' if row['gain'] is None else f'{100 * row["gain"]:+.1f}'
        paper = '' if before is None else f'{100 * (row["paper_AP"] - before):+.1f}'
        metrics = ' '.join(f'{100 * row[name]:6.1f}' for name in ('AP', 'AP50', 'AP75'))
        lines.append(f'{ticks}  {metrics} {gain:>6s} {100 * row["paper_AP"]:7.1f} {paper:>6s}')
        before = row['paper_AP']
    lines.append('* of the ObjProp paper (Table 1): MaskTrack R-CNN on its mini-validation set of YouTube-VIS')
    return '\n'.join(lines)
