"""The instances of a whole video: their masks, class scores and results."""

from __future__ import annotations

import pickle
import tempfile
import weakref
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from maskprop.structures import FrameResult
from maskprop.utils.files import name_in_errors

SCORE_RULES = ('all', 'with_category', 'majority', 'majority_lowest')
SPOOL_BYTES = 2**24  # of a video's encoded masks that are held in memory; more go to a temporary file


class VideoInstances:
    """Masks and class scores of every id of a video (MaskProp, Section 4.3 and "Scoring Video-Level Sequences").

    A long video costs no memory to speak of: masks go to a temporary file once there are many, in the folder that
    ``TMPDIR`` names, which leaves 32 bytes per id and frame. :meth:`iter_results` reads them back id by id.

    Args:
        score_rule: ``'all'`` and ``'with_category'`` give a result per id and category seen, whose score is the
            mean of the category's detection scores over all clips of the id, or over those with the category.
            ``'majority'`` (MaskTrack R-CNN, ObjProp) gives one per id: the label of most of the frames in which
            it is present, filled ones included (of equally frequent ones that of the higher mean score); the
            score is the mean over all those frames. ``'majority_lowest'`` (SipMask-VIS): the same, but of equally
            frequent labels the lowest.
        min_frames: ids that are present in fewer frames, filled ones included, have no result.

    Raises:
        ValueError: ``score_rule`` is unknown, or ``min_frames`` below 1.
    """

    def __init__(self, score_rule: str = 'with_category', min_frames: int = 1) -> None:
        if score_rule not in SCORE_RULES:
            raise ValueError(f'score_rule={score_rule!r} is unknown; choose one of {SCORE_RULES}')
        if min_frames < 1:
            raise ValueError(f'min_frames={min_frames}: expected 1 or more')
        self.score_rule = score_rule
        self.min_frames = min_frames
        self.length = 0
        self._tracks: dict[int, _Track] = defaultdict(_Track)
        self._sums: dict[int, dict[int, list]] = defaultdict(dict)  # id -> label -> [sum of scores, their number]
        self._clips: dict[int, int] = defaultdict(int)
        self._masks = _MaskFile()

    def add_scores(self, track_id: int, scores: dict[int, float]) -> None:
        """Record the class scores ``{label: score}`` of one clip that carries the id."""
        self._clips[track_id] += 1
        sums = self._sums[track_id]
        for label, score in scores.items():
            total, count = sums.get(label, (0.0, 0))
            sums[label] = [total + score, count + 1]

    def add_frame(self, result: FrameResult) -> None:
        """Record the final masks of the next frame; of an id that comes twice (the paper allows it), the best."""
        self.length = result.frame_index + 1
        ascending = sorted(range(len(result.ids)), key=result.scores.__getitem__)
        best = {result.ids[row]: row for row in ascending}
        for track_id, row in best.items():
            place = self._masks.append(result.masks[row])
            self._tracks[track_id].append(result.frame_index, place, result.labels[row], result.scores[row])

    def rename(self, final_ids: Mapping[int, int | None]) -> None:
        """Give ids their final names; those that get the same one are joined. No mask is read.

        Joined tracks are in the order of their frames, and of a frame that several of them are in, the best-scored
        mask is kept. Class scores of their clips are added up.

        Args:
            final_ids: the final id of each provisional one; those left out keep theirs, and None drops a track.
        """
        groups: dict[int, list[_Track]] = defaultdict(list)
        for track_id, track in self._tracks.items():
            final_id = final_ids.get(track_id, track_id)
            if final_id is not None:
                groups[final_id].append(track)
        sums: dict[int, dict[int, list]] = defaultdict(dict)
        clips: dict[int, int] = defaultdict(int)
        for track_id, by_label in self._sums.items():
            final_id = final_ids.get(track_id, track_id)
            if final_id is None:
                continue
            clips[final_id] += self._clips[track_id]
            for label, (total, count) in by_label.items():
                before, earlier = sums[final_id].get(label, (0.0, 0))
                sums[final_id][label] = [before + total, earlier + count]
        self._tracks = {final_id: _join(tracks) for final_id, tracks in groups.items()}
        self._sums, self._clips = sums, clips

    def score(self, track_id: int, label: int) -> float:
        """The id's score for a class, by its clips so far."""
        total, count = self._sums[track_id][label]
        return total / (self._clips[track_id] if self.score_rule == 'all' else count)

    def best_label(self, track_id: int) -> int:
        """The id's class of highest score."""
        return max(self._sums[track_id], key=lambda label: self.score(track_id, label))

    def to_results(self, video_id: int, category_ids: Sequence[int]) -> list[dict]:
        """:meth:`iter_results`, all at once."""
        return list(self.iter_results(video_id, category_ids))

    def iter_results(self, video_id: int, category_ids: Sequence[int]) -> Iterator[dict]:
        """Results in the format of the YouTube-VIS server: one per id and category, or per id (``score_rule``).

        Args:
            video_id: of the annotation file.
            category_ids: category id of each class index.

        Yields:
            dicts of ``video_id``, ``category_id``, ``score``, ``segmentations`` (an RLE or None per frame), plus
            ``track_id``, which the server ignores.
        """
        for track_id, track in self._tracks.items():
            if len(track.frames) < self.min_frames:
                continue
            segmentations: list[dict | None] = [None] * self.length
            for frame, place in zip(track.frames, track.places, strict=True):
                segmentations[frame] = self._masks[place]
            for label, score in self._final_scores(track_id).items():
                yield dict(
                    video_id=video_id,
                    category_id=int(category_ids[label]),
                    score=float(score),
                    segmentations=segmentations,
                    track_id=track_id,
                )

    def _final_scores(self, track_id: int) -> dict[int, float]:
        """``{label: score}`` of an id's results."""
        if not self.score_rule.startswith('majority'):
            return {label: self.score(track_id, label) for label in self._sums[track_id]}
        track = self._tracks[track_id]
        by_label: dict[int, list[float]] = defaultdict(list)
        for label, score in zip(track.labels, track.scores, strict=True):
            by_label[label].append(score)
        lowest = self.score_rule == 'majority_lowest'
        second = (lambda label: -label) if lowest else (lambda label: fmean(by_label[label]))
        winner = max(by_label, key=lambda label: (len(by_label[label]), second(label)))
        return {winner: fmean(track.scores)}


class _Track:
    """What is known of an id in each of its frames, 32 bytes a frame; ``places`` are those of a ``_MaskFile``."""

    __slots__ = ('frames', 'places', 'labels', 'scores')

    def __init__(self) -> None:
        self.frames, self.places, self.labels, self.scores = array('q'), array('q'), array('q'), array('d')

    def append(self, frame: int, place: int, label: int, score: float) -> None:
        for column, value in zip(self.__slots__, (frame, place, label, score), strict=True):
            getattr(self, column).append(value)


def _join(tracks: Sequence[_Track]) -> _Track:
    """One track of several, in the order of frames; of a frame that several are in, the row of highest score."""
    best: dict[int, tuple[int, int, float]] = {}  # frame -> place, label, score
    for track in tracks:
        for frame, *row in zip(*(getattr(track, column) for column in track.__slots__), strict=True):
            if frame not in best or row[-1] > best[frame][-1]:
                best[frame] = tuple(row)
    joined = _Track()
    for frame in sorted(best):
        joined.append(frame, *best[frame])
    return joined


class _MaskFile:
    """RLEs in a file that stays in memory while it is small; ``append`` gives the place to read one back from."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(SPOOL_BYTES)
        weakref.finalize(self, self._file.close)

    def append(self, rle: dict) -> int:
        place = self._file.seek(0, 2)
        with name_in_errors(tempfile.gettempdir()):
            pickle.dump(rle, self._file, pickle.HIGHEST_PROTOCOL)
        return place

    def __getitem__(self, place: int) -> dict:
        self._file.seek(place)
        return pickle.load(self._file)
