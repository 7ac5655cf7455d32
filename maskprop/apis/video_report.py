"""What became of a video: counted as frames come, told at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from maskprop.structures import FrameResult
from maskprop.utils.text import escaped, plural


@dataclass
class VideoReport:
    """A video that was run.

    Attributes:
        name: of its source.
        score_thr: from which score on in a frame an object is drawn, and counted in ``objects``.
        num_frames: that were run.
        seconds: from before the first frame was read until all files were written.
        objects: class name -> how many objects (ids) of it reached ``score_thr`` in some frame, the most first. An
            object counts for the class that it has in most of those frames.
        best_score: the highest of any object in any frame; None: no frame has an object.
        num_results: records in ``results.json``.
        files: those that were written.
        notes: sentences for the reader: what decided that nothing was found, what a file is not good for.
    """

    name: str
    score_thr: float
    num_frames: int = 0
    seconds: float = 0.0
    objects: dict[str, int] = field(default_factory=dict)
    best_score: float | None = None
    num_results: int = 0
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rate = self.num_frames / self.seconds if self.seconds else 0.0
        classes = ', '.join(f'{count} {name}' for name, count in self.objects.items())
        found = f'{classes} (score {self.score_thr:g} or more)' if classes else 'no objects'
        frames = plural(self.num_frames, 'frame')
        head = f'{self.name}: {frames} in {self.seconds:.1f} s ({rate:.3g} frames/s); {found}'
        return '\n'.join([escaped(head), *(f'  {escaped(line)}' for line in (*self.notes, *self.files))])


class Tally:
    """Counts a video's objects frame by frame, and keeps one frame to look at if none has any."""

    def __init__(self, score_thr: float) -> None:
        self.best_score: float | None = None
        self.sample: tuple[int, np.ndarray] | None = (
            None  # (index, frame) of frame 0, 1, 3, 7, ... while none has any
        )
        self.num_frames = 0
        self.size = (0, 0)  # (height, width) of the frames
        self._score_thr = score_thr
        self._names: dict[int, Counter] = defaultdict(Counter)

    def add(self, frame: np.ndarray, result: FrameResult) -> None:
        """Count a frame that is final."""
        self.num_frames += 1
        self.size = frame.shape[:2]
        for track_id, name, score in zip(result.ids, result.class_names, result.scores, strict=True):
            self.best_score = score if self.best_score is None else max(score, self.best_score)
            if score >= self._score_thr:
                self._names[track_id][name] += 1
        if self.best_score is not None:
            self.sample = None
        elif self.num_frames & (self.num_frames - 1) == 0:  # a power of two: from the video's second half
            self.sample = (self.num_frames - 1, frame.copy())

    def objects(self) -> dict[str, int]:
        """As of :class:`VideoReport`."""
        return dict(Counter(names.most_common(1)[0][0] for names in self._names.values()).most_common())
