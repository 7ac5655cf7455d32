"""Keeps of a stream what must not depend on the rest of the video, to compare two runs of the same frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import common
import numpy as np
import torch
from torch import Tensor

from maskprop.structures import ClipTracks, FrameResult
from maskprop.tracking.video_stream import VideoStream

TOLERANCE = 1e-5  # of soft masks and scores: the number of frames in a clip changes how sums are split up


class Recorder:
    """Records the detections, clip tracks and matching scores of some frames of a stream.

    Args:
        stream: whose linker is a ``ClipLinker``. frames: which are recorded, in the numbers of the whole video.
        first: number of the stream's first frame.
    """

    def __init__(self, stream: VideoStream, frames: range, first: int = 0) -> None:
        self.frames, self.first = frames, first
        self.records: dict[int, dict[str, Any]] = {}
        self._centre = first
        self._scores: Tensor | None = None
        linker = stream.linker
        self._link, self._match = linker.link_many, linker._match_scores
        linker.link_many, linker._match_scores = self._recorded_link, self._recorded_match

    def take(self, results: list[FrameResult]) -> None:
        """Record the detections among these results; filled masks depend on ids, so they are left out."""
        for result in results:
            frame = self.first + result.frame_index
            if frame in self.frames:
                rows = zip(result.labels, result.scores, result.masks, result.filled, strict=True)
                self.records[frame]['detections'] = [row[:3] for row in rows if not row[3]]

    def _recorded_link(self, clips: Sequence[ClipTracks]) -> list[list[int]]:
        return [self._link_one(clip) for clip in clips]  # the ids are the same, and each clip's scores are its own

    def _link_one(self, clip: ClipTracks) -> list[int]:
        (ids,) = self._link([clip])
        if self._centre in self.frames:
            self.records[self._centre] = dict(
                clip=range(clip.first + self.first, clip.end + self.first),
                labels=list(clip.labels),
                tracks=clip.masks,
                centre=clip.masks[self._centre - self.first - clip.first],
                scores=self._scores,
            )
        self._centre += 1
        return ids

    def _recorded_match(self, clips: Sequence[ClipTracks]) -> np.ndarray:
        scores = self._match(clips)
        self._scores = torch.from_numpy(scores)
        return scores


def check_same(whole: Recorder, alone: Recorder) -> float:
    """The largest difference between the tracks and scores of two runs.

    Raises:
        BenchmarkError: a frame is missing, anything discrete differs, or a number by more than ``TOLERANCE``.
    """
    largest = 0.0
    for frame in whole.frames:
        a, b = (recorder.records.get(frame, {}) for recorder in (whole, alone))
        for name in ('clip', 'labels', 'detections'):
            if name not in a or name not in b or a[name] != b[name]:
                raise common.BenchmarkError(f'frame {frame}: {name} differ when its neighbourhood is run alone')
        for name in ('tracks', 'centre', 'scores'):
            difference = _difference(a[name], b[name])
            largest = max(largest, difference)
            if not difference <= TOLERANCE:
                raise common.BenchmarkError(
                    f'frame {frame}: {name} differ by {difference:.2g} when its neighbourhood is run alone'
                )
    return largest


def _difference(a: Tensor | None, b: Tensor | None) -> float:
    if a is None or b is None or a.shape != b.shape:
        return 0.0 if a is None and b is None else torch.inf
    return float((a - b).abs().max()) if a.numel() else 0.0
