"""UnOVOST's reference numbers computed anew by this project's modules: from masks and flow to final tracks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as mask_utils
import torch

from maskprop.conversion.golden_arrays import Arrays, Compared
from maskprop.methods.ensemble_vis.mask_warp import warp_masks
from maskprop.methods.ensemble_vis.merging import (
    Forest,
    embedding_distances,
    find_predecessors,
    rank,
    spans,
    track_score,
)
from maskprop.methods.ensemble_vis.thinning import thin
from maskprop.methods.ensemble_vis.tracklets import Proposals, Tracklet, TrackletBuilder
from maskprop.ops.masks import encode_mask

TOLERANCE = 1e-9  # of what is no integer
INPUTS = re.compile(r'flow|prop_(frame|index|score|reid|mask)')
THINNING_IOU, FLOW_IOU, MOST_TRACKS = 0.2, 0.05, 20

Found = dict[str, Any]


@dataclass
class _Frame:
    """The proposals of a frame that stay, and the masks of them, here and in the next frame."""

    rows: np.ndarray  # of the case's arrays
    masks: list[dict]
    warped: list[dict]


def compare(case: Arrays, state: Mapping[str, Any]) -> dict[str, Compared]:
    """Every output array of a case, ours and the reference's; there are no weights."""
    inputs = {name: case[name].numpy() for name in case if INPUTS.fullmatch(name)}
    length = len(case['flow']) + 1
    warped = _warp(case, inputs)
    frames = _thinned(inputs, warped, length)
    matrices = [_similarity(*pair) for pair in zip(frames, frames[1:], strict=False)]
    kept = [(t, inputs['prop_index'][row]) for t, frame in enumerate(frames) for row in frame.rows]
    found = dict(
        prop_fwd_mask=np.stack([mask_utils.decode(rle) for rle in warped]),
        kept=np.array(kept),
        warp_iou_shape=np.array([m.shape if m.size else (0, 0) for m in matrices]),
        warp_iou=np.concatenate([m.ravel() for m in matrices]),
    )
    for matching, prefix in (('hungarian', ''), ('greedy', 'greedy_')):
        video = _Video(inputs, frames, matrices, matching)
        found |= {f'{prefix}{name}': value for name, value in video.arrays().items()}
        if matching == 'hungarian':
            found['final_no_merge'] = video.final([[k] for k in range(len(video.tracklets))])[0]
            found['label_map'] = _paint(found['final_tracks'], inputs)
    del found['greedy_tracklet_distance']  # which the cases leave out
    return {
        name: Compared(ours := torch.as_tensor(value), case[name], TOLERANCE * ours.is_floating_point())
        for name, value in found.items()
    }


def _warp(case: Arrays, inputs: dict[str, np.ndarray]) -> list[dict]:
    """Every mask in its next frame; those of the last frame are empty."""
    warped = []
    for mask, t in zip(case['prop_mask'].numpy(), inputs['prop_frame'], strict=True):
        if t == len(inputs['flow']):  # the last frame
            warped.append(encode_mask(np.zeros_like(mask)))
        else:
            warped += warp_masks([encode_mask(mask)], inputs['flow'][t], 'forward_negated')
    return warped


def _thinned(inputs: dict[str, np.ndarray], warped: list[dict], length: int) -> list[_Frame]:
    frames = []
    for t in range(length):
        rows = np.flatnonzero(inputs['prop_frame'] == t)
        masks = [encode_mask(mask) for mask in inputs['prop_mask'][rows]]
        ious = mask_utils.iou(masks, masks, [0] * len(masks)) if masks else np.zeros((0, 0))
        kept = thin(inputs['prop_score'][rows].tolist(), ious, THINNING_IOU)
        frames.append(_Frame(rows[kept], [masks[k] for k in kept], [warped[row] for row in rows[kept]]))
    return frames


def _similarity(frame: _Frame, following: _Frame) -> np.ndarray:
    shape = len(frame.rows), len(following.rows)
    return mask_utils.iou(frame.warped, following.masks, [0] * shape[1]) if all(shape) else np.zeros(shape)


class _Video:
    """Tracklets of one matching, and what is made of them."""

    def __init__(
        self, inputs: dict[str, np.ndarray], frames: list[_Frame], matrices: list[np.ndarray], matching: str
    ) -> None:
        builder = TrackletBuilder(threshold=FLOW_IOU, matching=matching, letter=True)
        ids = []
        for frame, similarity in zip(frames, [np.zeros((0, len(frames[0].rows))), *matrices], strict=True):
            areas = [int(mask_utils.area(rle)) for rle in frame.masks]
            scores, embeddings = inputs['prop_score'][frame.rows], inputs['prop_reid'][frame.rows]
            ids.append(builder.step(Proposals(scores, areas, [0] * len(areas), embeddings), similarity))
        builder.finish()
        self.length = len(frames)
        self.tracklets: list[Tracklet] = [builder.known[i] for i in builder.order]
        number = {i: k for k, i in enumerate(builder.order)}
        self.table = np.full((len(number), self.length), -1)
        for t, frame in enumerate(frames):
            for i, row in zip(ids[t], frame.rows, strict=True):
                if i in number:
                    self.table[number[i], t] = inputs['prop_index'][row]

    def arrays(self) -> Found:
        tracklets, own = self.tracklets, spans(self.tracklets)
        embeddings = np.stack([t.mean_embedding for t in tracklets])
        distances, largest = embedding_distances(embeddings)
        predecessors = find_predecessors(own, distances)
        forest = Forest(predecessors, own, distances, self.length)
        paths, tracks = forest.paths(), forest.cut()
        final, scores = self.final(tracks)
        return dict(
            tracklets=self.table,
            tracklet_span=np.stack(own, 1),
            tracklet_reid=embeddings,
            tracklet_score=np.array([t.mean_score for t in tracklets]),
            tracklet_area=np.array([t.mean_area for t in tracklets]),
            norm_distance=np.array([largest]),
            tracklet_pred=np.array(predecessors),
            tracklet_distance=distances,
            path_length=np.array([len(path) for path in paths]),
            path=np.concatenate(paths),
            traj_length=np.array([len(track) for track in tracks]),
            traj=np.concatenate(tracks),
            traj_score=scores,
            final_tracks=final,
            final_first_tracklet=np.array([tracks[k][0] for k in rank(scores.tolist(), MOST_TRACKS)]),
        )

    def final(self, tracks: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        """The best tracks, proposals by frame, and the scores of all."""
        scores = np.array([track_score([self.tracklets[k] for k in track]) for track in tracks])
        return np.stack([self.table[tracks[k]].max(0) for k in rank(scores.tolist(), MOST_TRACKS)]), scores


def _paint(tracks: np.ndarray, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Rank + 1 of the tracks in every pixel, later ones over earlier ones: what the reference writes."""
    rows = {(t, i): row for row, (t, i) in enumerate(zip(inputs['prop_frame'], inputs['prop_index'], strict=True))}
    picture = np.zeros((tracks.shape[1], *inputs['prop_mask'].shape[1:]), dtype=np.uint8)
    for number, track in enumerate(tracks, 1):
        for t in np.flatnonzero(track >= 0):
            picture[t][inputs['prop_mask'][rows[t, track[t]]] > 0] = number
    return picture
