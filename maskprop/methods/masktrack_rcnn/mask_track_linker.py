"""MaskTrack R-CNN's tracking: appearance, box, class and score against a memory of all objects of the video."""

from __future__ import annotations

import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor

from maskprop.methods.masktrack_rcnn.track_matching import (
    final_holders,
    greedy_match,
    match_scores,
    pairwise_box_iou,
    update_memory,
)
from maskprop.ops.match_logits import match_logits
from maskprop.structures import Frame

KEY = 'track_head'  # of the codes
LOSERS = ('drop', 'new', 'duplicate')


@TASK_UTILS.register_module()
class MaskTrackLinker:
    """Gives each detection the best-scored remembered object, or makes a new one; one linker for each video.

    The memory holds each object's latest embedding and box, and its first label, for the whole video. Defaults are
    the reference code's; ``docs/methods/masktrack_rcnn.md`` lists mmdet's.

    Args:
        score_weight, iou_weight, label_weight: of log(detection score), IoU and [same label] in the score.
        normalize: compare embeddings by cosine; else by raw dot products (mmdet).
        legacy_iou: boxes are one pixel wider and higher, as in mmdet 1.x; False: as in mmdet 3.x.
        losers: of several detections that want one object the best-scored takes it. The others get no id and are
            left out of the result (``'drop'``), become new objects (``'new'``), or, ``'duplicate'`` (mmdet), those
            that came before the winner get the same id and the others are left out.
        update_labels: remember the latest label (mmdet), not the first.
        max_age: objects not seen for this many frames are forgotten, when a frame with detections has been linked;
            ``None``: never. mmdet's default is 20.

    Raises:
        ValueError: ``losers`` is unknown.
    """

    needs_clips = False
    needs = (KEY,)

    def __init__(
        self,
        *,
        score_weight: float = 1.0,
        iou_weight: float = 2.0,
        label_weight: float = 10.0,
        normalize: bool = True,
        legacy_iou: bool = True,
        losers: str = 'drop',
        update_labels: bool = False,
        max_age: int | None = None,
    ) -> None:
        if losers not in LOSERS:
            raise ValueError(f'losers={losers!r} is unknown; choose one of {LOSERS}')
        self.weights = dict(score_weight=score_weight, iou_weight=iou_weight, label_weight=label_weight)
        self.normalize = normalize
        self.legacy_iou = legacy_iou
        self.losers = losers
        self.update_labels = update_labels
        self.max_age = max_age
        self._ids: list[int] = []
        self._memory: dict[str, Tensor] = {}  # embeds, boxes, labels, last_seen; one row for each of _ids
        self._next_id = 1
        self._frame = -1

    def link(self, frame: Frame) -> list[int | None]:
        """Ids of a frame's detections; frames come in order.

        Args:
            frame: with the track head's code, (N, E) embeddings, (N, 4) ``boxes`` and N ``class_scores``.

        Returns:
            N video-level ids, from 1; None for a detection that is left out of the result.
        """
        self._frame += 1
        if len(frame) == 0:
            return []
        labels = frame.labels
        found = dict(
            embeds=frame.codes[KEY].values,
            boxes=frame.boxes,
            labels=torch.tensor(labels),
            last_seen=torch.full((len(frame),), self._frame),
        )
        if not self._ids:
            self._memory = {name: value[:0] for name, value in found.items()}
        det_scores = torch.tensor([s[label] for s, label in zip(frame.class_scores, labels, strict=True)])
        objects = greedy_match(self._scores(found, det_scores))
        if self.losers == 'new':
            objects = _renumber_losers(objects, len(self._ids))
        new = len({taken for taken in objects if taken >= len(self._ids)})
        self._ids += range(self._next_id, self._next_id + new)
        self._next_id += new
        ids = self._ids_of(objects)
        self._remember(found, objects)
        self._forget()
        return ids

    def _scores(self, found: dict[str, Tensor], det_scores: Tensor) -> Tensor:
        """(N, M + 1) matching scores."""
        known = self._memory
        return match_scores(
            match_logits(found['embeds'], known['embeds'], self.normalize),
            det_scores,
            pairwise_box_iou(found['boxes'], known['boxes'], self.legacy_iou),
            found['labels'][:, None] == known['labels'],
            **self.weights,
        )

    def _ids_of(self, objects: list[int]) -> list[int | None]:
        shown = [taken >= 0 for taken in objects] if self.losers == 'duplicate' else final_holders(objects)
        return [self._ids[taken] if show else None for taken, show in zip(objects, shown, strict=True)]

    def _remember(self, found: dict[str, Tensor], objects: list[int]) -> None:
        first_time = [taken if taken >= len(self._memory['labels']) else -1 for taken in objects]
        for name, value in found.items():
            rows = first_time if name == 'labels' and not self.update_labels else objects
            self._memory[name] = update_memory(self._memory[name], value, rows)

    def _forget(self) -> None:
        if self.max_age is None:
            return
        kept = (self._frame - self._memory['last_seen'] < self.max_age).nonzero()[:, 0]
        self._memory = {name: value[kept] for name, value in self._memory.items()}
        self._ids = [self._ids[row] for row in kept.tolist()]


def _renumber_losers(objects: list[int], known: int) -> list[int]:
    """Detections that don't have their object in the end become new objects; all new ones in detection order."""
    renumbered, new = [], known
    for taken, final in zip(objects, final_holders(objects), strict=True):
        is_new = not final or taken >= known
        renumbered.append(new if is_new else taken)
        new += is_new
    return renumbered
