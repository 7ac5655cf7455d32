"""UnOVOST as a linker: tracklets by flow while the video runs, joined by appearance when it ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pycocotools.mask as mask_utils
import torch
import torch.nn.functional as F
from mmdet.registry import TASK_UTILS
from torch import Tensor

from maskprop.methods.ensemble_vis.mask_warp import DIRECTIONS, warp_masks
from maskprop.methods.ensemble_vis.merging import (
    Forest,
    embedding_distances,
    find_predecessors,
    rank,
    spans,
    track_score,
)
from maskprop.methods.ensemble_vis.thinning import thin
from maskprop.methods.ensemble_vis.tracklets import MATCHINGS, Proposals, Tracklet, TrackletBuilder
from maskprop.structures import Frame

LETTER_TRACKS = 20  # of a video in the released code


@TASK_UTILS.register_module()
class TrackletMergeLinker:
    """UnOVOST (Luiten, Zulfikar, Leibe, WACV 2020): ids are provisional, the final ones come at the end.

    Overlapping detections of a frame are thinned out. The masks that stay are warped into the next frame by
    optical flow and matched there by IoU, which makes tracklets. After the last frame each gets a predecessor by
    the distance of mean embeddings, and the forest of them is cut into tracks. Of the video only the latest frame
    is kept, and of each tracklet its span and means.

    Args:
        thinning_iou: of two detections of a frame that overlap by this IoU or more one is left out. None: none is.
        flow_iou: a match's IoU must be above this.
        matching: ``'hungarian'`` or ``'greedy'``.
        flow: config of the estimator: a ``DISFlow`` or ``RAFTFlow``, or any class with their ``estimate``.
        flow_direction: ``'backward'``: estimated from a frame to the one before, exact; ``'forward_negated'``: as
            PReMVOS. None: the first, with ``letter`` the second.
        embeddings: key of the head whose code, one row a detection, is compared; None: tracklets are not joined.
        masks: key of the head whose masks are tracked, such as ``'refinement_head'``; None: the detector's.
        max_distance: tracklets are joined only below this distance of mean embeddings, in the units of the head.
            None: whatever it is, as UnOVOST does: every tracklet that begins after another's end is joined to one.
        same_category: tracklets are joined only within a category, that of their best-scored detection.
        max_tracks: of a video, the best by UnOVOST's score; None: all, with ``letter`` 20.
        letter: as the released code: detections of the last frame that continue nothing are lost, and those of the
            beginning while nothing matches.

    Raises:
        ValueError: ``matching`` or ``flow_direction`` is unknown.
    """

    needs_clips = False

    def __init__(
        self,
        *,
        thinning_iou: float | None = 0.2,
        flow_iou: float = 0.05,
        matching: str = 'hungarian',
        flow: dict | None = None,
        flow_direction: str | None = None,
        embeddings: str | None = 'reid_head',
        masks: str | None = None,
        max_distance: float | None = None,
        same_category: bool = False,
        max_tracks: int | None = None,
        letter: bool = False,
    ) -> None:
        if matching not in MATCHINGS:
            raise ValueError(f'matching={matching!r} is unknown; choose one of {MATCHINGS}')
        if flow_direction not in (None, *DIRECTIONS):
            raise ValueError(f'flow_direction={flow_direction!r} is unknown; choose one of {DIRECTIONS}')
        self.needs = ('image', *(key for key in (embeddings, masks) if key))
        self.thinning_iou = thinning_iou
        self.flow_direction = flow_direction or DIRECTIONS[letter]
        self.embeddings = embeddings
        self.masks = masks
        self.max_distance = max_distance
        self.same_category = same_category
        self.max_tracks = LETTER_TRACKS if letter and max_tracks is None else max_tracks
        self._estimator = TASK_UTILS.build(flow or dict(type='DISFlow'))
        self._builder = TrackletBuilder(threshold=flow_iou, matching=matching, letter=letter)
        self._latest: tuple[Frame, list[dict]] | None = None  # the latest frame, and its masks that stay
        self._length = 0

    @torch.no_grad()
    def link(self, frame: Frame) -> list[int | None]:
        """Provisional ids of a frame's detections; frames come in order.

        Args:
            frame: with N detections, ``image`` and the codes that are needed.

        Returns:
            N ids, from 1, one for each tracklet; None for a detection that is thinned out.
        """
        self._length += 1
        rles = list(frame.rles) if self.masks is None else frame.codes[self.masks].values
        scores = [max(own.values()) for own in frame.class_scores]
        rows = self._thin(scores, rles)
        rles = [rles[row] for row in rows]
        proposals = Proposals(
            scores=[scores[row] for row in rows],
            areas=[int(mask_utils.area(rle)) for rle in rles],
            categories=[frame.labels[row] for row in rows],
            embeddings=self._embeddings(frame, rows),
        )
        ids: list[int | None] = [None] * len(frame)
        for row, track_id in zip(rows, self._builder.step(proposals, self._similarity(frame, rles)), strict=True):
            ids[row] = track_id
        self._latest = frame, rles
        return ids

    def finish(self) -> dict[int, int | None]:
        """The final id of each provisional one: that of the track's first tracklet; None for those left out."""
        self._builder.finish()
        self._latest = None
        numbered = self._builder.order
        tracklets = [self._builder.known[i] for i in numbered]
        tracks = self._tracks(tracklets)
        scores = [track_score([tracklets[k] for k in track]) for track in tracks]
        final: dict[int, int | None] = dict.fromkeys(self._builder.known)
        for track in (tracks[k] for k in rank(scores, self.max_tracks)):
            final.update({numbered[k]: numbered[track[0]] for k in track})
        return final

    def _thin(self, scores: list[float], rles: list[dict]) -> list[int]:
        if self.thinning_iou is None or not rles:
            return list(range(len(rles)))
        return thin(scores, mask_utils.iou(rles, rles, [0] * len(rles)), self.thinning_iou)

    def _embeddings(self, frame: Frame, rows: list[int]) -> np.ndarray | None:
        if self.embeddings is None:
            return None
        return frame.codes[self.embeddings].select(rows).values.double().cpu().numpy()

    def _similarity(self, frame: Frame, rles: list[dict]) -> np.ndarray:
        """(M, N) IoU of the previous frame's M masks, warped, with these."""
        latest, before = (None, []) if self._latest is None else self._latest
        if latest is None or not before or not rles:
            return np.zeros((len(before), len(rles)))
        pair = (frame, latest)
        flow = video_flow(self._estimator, *(pair if self.flow_direction == 'backward' else pair[::-1]))
        return mask_utils.iou(warp_masks(before, flow, self.flow_direction), rles, [0] * len(rles))

    def _tracks(self, tracklets: list[Tracklet]) -> list[list[int]]:
        if self.embeddings is None or not tracklets:
            return [[k] for k in range(len(tracklets))]
        own = spans(tracklets)
        distances, largest = embedding_distances(np.stack([t.mean_embedding for t in tracklets]))
        allowed = np.ones_like(distances, dtype=bool)
        if self.max_distance is not None:
            allowed &= distances * largest < self.max_distance
        if self.same_category:
            categories = np.array([t.category for t in tracklets])
            allowed &= categories[:, None] == categories
        predecessors = find_predecessors(own, distances, allowed)
        return Forest(predecessors, own, distances, self._length).cut()


def video_flow(estimator: Any, first: Frame, second: Frame) -> np.ndarray:
    """The flow from one frame to another in pixels of the video, at its size: (H, W, 2) float32, x before y."""
    images = [shown_image(frame) for frame in (first, second)]
    flow = estimator.estimate(images[0][None], images[1][None]).float().cpu()
    height, width = first.size
    unit = flow.new_tensor([width / flow.shape[-1], height / flow.shape[-2]])
    if tuple(flow.shape[-2:]) != (height, width):
        flow = F.interpolate(flow, (height, width), mode='bilinear')
    return np.ascontiguousarray((flow[0] * unit[:, None, None]).permute(1, 2, 0).numpy())


def shown_image(frame: Frame) -> Tensor:
    """A frame's image without its padding, (3, h, w) uint8."""
    assert frame.image is not None  # in the linker's needs
    sides = zip(frame.image.shape[-2:], frame.size, frame.map_size, strict=True)
    height, width = (min(round(side * video / padded), side) for side, video, padded in sides)
    return frame.image[:, :height, :width]
