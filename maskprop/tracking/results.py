"""What comes out of a video: results per frame, and instances over the whole video."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

SCORE_RULES = ('all', 'with_category', 'majority')


@dataclass
class FrameResult:
    """The final instances of one frame.

    Attributes:
        frame_index: 0-based position in the video.
        ids: video-level ids, from 1.
        labels: class index of each instance, by its best-scored detection; of a filled one as the filler says: the
            id's best class, or (:class:`~maskprop.tracking.history_filler.HistoryFiller`) its latest label.
        scores: detection scores in [0, 1]; of a filled one, the id's mean score of that class so far, or its mean
            score in the history.
        masks: compressed RLEs at the video's own size.
        filled: True where the mask was propagated because the detector missed the object.
    """

    frame_index: int
    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    masks: list[dict] = field(default_factory=list)
    filled: list[bool] = field(default_factory=list)

    def add(self, track_id: int, label: int, score: float, mask: dict, filled: bool = False) -> None:
        """Append one instance."""
        self.ids.append(track_id)
        self.labels.append(label)
        self.scores.append(score)
        self.masks.append(mask)
        self.filled.append(filled)


class VideoInstances:
    """Masks and class scores of every id of a video (MaskProp, Section 4.3 and "Scoring Video-Level Sequences").

    Args:
        score_rule: ``'all'`` and ``'with_category'`` give a result per id and category seen, whose score is the
            mean of the category's detection scores over all clips of the id, or over those with the category.
            ``'majority'`` (MaskTrack R-CNN, ObjProp) gives one per id: the label of most of the frames in which
            it is present, filled ones included (of equally frequent ones that of the higher mean score); the
            score is the mean over all those frames.
        min_frames: ids that are present in fewer frames, filled ones included, have no result.
    """

    def __init__(self, score_rule: str = 'with_category', min_frames: int = 1) -> None:
        if score_rule not in SCORE_RULES:
            raise ValueError(f'score_rule={score_rule!r} is unknown; choose one of {SCORE_RULES}')
        self.score_rule = score_rule
        self.min_frames = min_frames
        self.length = 0
        self._masks: dict[int, dict[int, dict]] = defaultdict(dict)
        self._seen: dict[int, dict[int, tuple[int, float]]] = defaultdict(dict)  # id -> frame -> label, score
        self._scores: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._clips: dict[int, int] = defaultdict(int)

    def add_scores(self, track_id: int, scores: dict[int, float]) -> None:
        """Record the class scores ``{label: score}`` of one clip that carries the id."""
        self._clips[track_id] += 1
        for label, score in scores.items():
            self._scores[track_id][label].append(score)

    def add_frame(self, result: FrameResult) -> None:
        """Record the final masks of the next frame; of an id that comes twice (the letter allows it), the best."""
        self.length = result.frame_index + 1
        for row in sorted(range(len(result.ids)), key=result.scores.__getitem__):
            self._masks[result.ids[row]][result.frame_index] = result.masks[row]
            self._seen[result.ids[row]][result.frame_index] = result.labels[row], result.scores[row]

    def score(self, track_id: int, label: int) -> float:
        """The id's score for a class, by its clips so far."""
        scores = self._scores[track_id][label]
        return sum(scores) / (self._clips[track_id] if self.score_rule == 'all' else len(scores))

    def best_label(self, track_id: int) -> int:
        """The id's class of highest score."""
        return max(self._scores[track_id], key=lambda label: self.score(track_id, label))

    def to_results(self, video_id: int, category_ids: Sequence[int]) -> list[dict]:
        """Results in the format of the YouTube-VIS server: one per id and category, or per id (``score_rule``).

        Args:
            video_id: of the annotation file.
            category_ids: category id of each class index.

        Returns:
            dicts of ``video_id``, ``category_id``, ``score``, ``segmentations`` (an RLE or None per frame), plus
            ``track_id``, which the server ignores.
        """
        results = []
        for track_id, masks in self._masks.items():
            if len(masks) < self.min_frames:
                continue
            segmentations = [masks.get(frame) for frame in range(self.length)]
            for label, score in self._final_scores(track_id).items():
                results.append(
                    dict(
                        video_id=video_id,
                        category_id=int(category_ids[label]),
                        score=float(score),
                        segmentations=segmentations,
                        track_id=track_id,
                    )
                )
        return results

    def _final_scores(self, track_id: int) -> dict[int, float]:
        """``{label: score}`` of an id's results."""
        if self.score_rule != 'majority':
            return {label: self.score(track_id, label) for label in self._scores[track_id]}
        by_label: dict[int, list[float]] = defaultdict(list)
        for label, score in self._seen[track_id].values():
            by_label[label].append(score)
        winner = max(by_label, key=lambda label: (len(by_label[label]), fmean(by_label[label])))
        return {winner: fmean(score for _, score in self._seen[track_id].values())}
