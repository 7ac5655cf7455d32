"""Video object segmentation as tracking: a detection is the object whose propagated mask it overlaps.

As the baselines FEELVOS and OSMN of Yang et al. (*Video Instance Segmentation*, ICCV 2019) are described, with
keys for what the paper leaves open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import pycocotools.mask as mask_utils
import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor

from maskprop.structures import Frame, FrameResult, ObjectHead, ObjectTracker, VideoHead
from maskprop.tracking.id_assignment import assign_ids, forbid_other_categories
from maskprop.tracking.object_walk import by_score

OUTPUTS = ('propagated', 'detected')


@dataclass
class _Object:
    """What is known of an object: its detections, and how many frames ago the last one was."""

    labels: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    unmatched: int = 0

    @property
    def label(self) -> int:
        """The most frequent one, of equally frequent ones the first."""
        return Counter(self.labels).most_common(1)[0][0]


@TASK_UTILS.register_module()
class PropagatedMaskLinker:
    """Carries each object's mask into every frame by a head's tracker, and links detections to it; online.

    Pairs of detection and object go by IoU, the best first, each at most once. A detection without an object
    begins one, from its own mask. An object that is not detected is carried on.

    Args:
        head: key of the head that carries the masks, one with ``start_objects``.
        output: ``'propagated'`` ([MaskProp] in the tables of Yang et al.): the final masks of all objects are the
            propagated ones, also where an object has no detection (``FrameResult.filled``); a new object's is its
            detection's. ``'detected'`` ([TrackByDet]): the detections' masks, and nothing else.
        threshold: the IoU must be above this, at the video's size.
        same_category: of detection and object; an object's is that of most of its detections.
        refresh: a matched object is carried on from its detection's mask, not from its propagated one.
        start_score: detections that score less begin no object, and are left out.
        max_age: an object ends when it had no detection in so many frames; None: never.
        min_area: pixels of the video; smaller propagated masks are no result where there is no detection.

    Raises:
        ValueError: ``output`` is unknown, or ``max_age`` is below 1.
    """

    needs_clips = False

    def __init__(
        self,
        *,
        head: str = 'propagation_head',
        output: str = 'propagated',
        threshold: float = 0.02,
        same_category: bool = True,
        refresh: bool = True,
        start_score: float = 0.0,
        max_age: int | None = None,
        min_area: int = 1,
    ) -> None:
        if output not in OUTPUTS:
            raise ValueError(f'output={output!r} is unknown; choose one of {OUTPUTS}')
        if max_age is not None and max_age < 1:
            raise ValueError(f'max_age={max_age}: expected at least 1, or None for no limit')
        self.needs = (head,)
        self.output = output
        self.threshold = threshold
        self.same_category = same_category
        self.refresh = refresh
        self.start_score = start_score
        self.max_age = max_age
        self.min_area = min_area
        self._key = head
        self._tracker: ObjectTracker  # from :meth:`use_heads`
        self._objects: dict[int, _Object] = {}
        self._carried: dict[int, dict] = {}  # id -> RLE of its propagated mask in the latest frame
        self._next_id = 1

    def use_heads(self, heads: Mapping[str, VideoHead]) -> None:
        """Take the head that carries the masks.

        Raises:
            ValueError: it carries none.
        """
        head = heads[self._key]
        if not isinstance(head, ObjectHead):
            raise ValueError(
                f'{type(self).__name__}(head={self._key!r}) needs a head that carries objects through a video, '
                f'such as FEELVOSHead or OSMNHead; {type(head).__name__} has no start_objects'
            )
        self._tracker = head.start_objects()

    @torch.no_grad()
    def link(self, frame: Frame) -> list[int | None]:
        """Ids of a frame's detections; frames come in order.

        Args:
            frame: with the head's code and N detections.

        Returns:
            N video-level ids, from 1; None for a detection that neither is a known object nor begins one.
        """
        code = frame.codes[self._key]
        self._carried = self._carry(frame)
        ids = self._match(frame)
        known = [row for row in by_score(frame) if ids[row] in self._carried]
        new = [row for row in by_score(frame) if ids[row] is not None and row not in known]
        if self.refresh and known:
            self._tracker.refresh(code, network_masks(frame, known, code.size), _ids_of(ids, known))
        self._forget(ids)
        if new:
            self._tracker.begin(code, network_masks(frame, new, code.size), _ids_of(ids, new))
        for row, track_id in enumerate(ids):
            if track_id is not None:
                self._remember(track_id, frame.labels[row], max(frame.class_scores[row].values()))
        return ids

    def revise(self, frame: Frame, result: FrameResult) -> None:
        """With ``output='propagated'``: the propagated masks, also of objects that are not detected.

        An undetected object has its category so far, and the mean score of its detections.
        """
        if self.output != 'propagated':
            return
        detected = set(result.ids)
        result.masks = [self._carried.get(i, rle) for i, rle in zip(result.ids, result.masks, strict=True)]
        for track_id, known in self._objects.items():
            if track_id in detected or track_id not in self._carried:
                continue
            rle = self._carried[track_id]
            if mask_utils.area(rle) >= max(self.min_area, 1):
                result.add(track_id, known.label, fmean(known.scores), rle, filled=True)

    def _carry(self, frame: Frame) -> dict[int, dict]:
        if not self._objects:
            return {}
        masks = self._tracker.step(frame.codes[self._key]).final
        return dict(zip(self._tracker.ids, frame.paste(masks.float()), strict=True))

    def _match(self, frame: Frame) -> list[int | None]:
        known = list(self._carried)
        scores = np.zeros((len(frame), len(known)))
        if len(frame) and known:
            carried = [self._carried[i] for i in known]
            scores = mask_utils.iou(frame.rles, carried, [0] * len(known))
        if self.same_category:
            scores = forbid_other_categories(scores, frame.labels, [self._objects[i].label for i in known])
        best = [max(scores.values()) for scores in frame.class_scores]
        ids: list[int | None] = [*assign_ids(scores, known, self.threshold, True, self._next_id)]
        for row, track_id in enumerate(ids):
            if track_id in self._carried:
                continue
            ids[row] = None
            if best[row] >= self.start_score:
                ids[row] = self._next_id
                self._next_id += 1
        return ids

    def _remember(self, track_id: int, label: int, score: float) -> None:
        found = self._objects.setdefault(track_id, _Object())
        found.labels.append(label)
        found.scores.append(score)
        found.unmatched = 0

    def _forget(self, ids: list[int | None]) -> None:
        """Count the frames of those that are not detected, and end those that are too old."""
        for track_id in self._objects.keys() - set(ids):
            self._objects[track_id].unmatched += 1
        if self.max_age is None:
            return
        old = [i for i, known in self._objects.items() if known.unmatched >= self.max_age]
        if old:
            self._tracker.forget(old)
            for track_id in old:
                del self._objects[track_id]


def _ids_of(ids: list[int | None], rows: list[int]) -> list[int]:
    return [track_id for row in rows if (track_id := ids[row]) is not None]


def network_masks(frame: Frame, rows: list[int], size: tuple[int, int]) -> Tensor:
    """Final masks of some instances of a frame in pixels of the network's input, (N, H, W) bool.

    Args:
        size: (height, width) of the network's input, padding included.
    """
    masks = torch.zeros(len(rows), *size, dtype=torch.bool)
    indices = []
    for pixels, video, whole in zip(size, frame.size, frame.map_size, strict=True):
        # the pixel of the video that is shown at the middle of each pixel of the input
        place = ((torch.arange(pixels) + 0.5) * whole / pixels).floor().long()
        indices.append(place[place < video])
    down, right = indices
    for mask, row in zip(masks, rows, strict=True):
        bitmap = torch.from_numpy(mask_utils.decode(frame.rles[row])).bool()
        mask[: len(down), : len(right)] = bitmap[down[:, None], right]
    return masks
