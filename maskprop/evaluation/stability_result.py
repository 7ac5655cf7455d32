"""What the measurement of temporal stability gives: numbers per ground-truth track, and those of a whole set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrackStability:
    """What is counted of one ground-truth track; everything but the first two adds up over tracks.

    Attributes:
        video_id, category_id: of the annotation.
        matched: 1 if a prediction is matched to it, else 0.
        visible: frames in which it is visible.
        covered: of those, frames in which any prediction of its category has a frame IoU of .5 or more.
        spanned: of those, frames from the matched prediction's first to its last appearance.
        missed: of the spanned, frames in which the matched prediction's IoU is below .1.
        pairs: consecutive frames in which both it and the matched prediction are visible.
        moved_iou: sum over the pairs of the IoU of the prediction with its moved earlier self.
        truth_moved_iou: the same of the ground truth.
        switches: changes of the id that covers it.
    """

    video_id: int
    category_id: int
    matched: int
    visible: int
    covered: int
    spanned: int
    missed: int
    pairs: int
    moved_iou: float
    truth_moved_iou: float
    switches: int


@dataclass
class StabilityResult:
    """Temporal stability of one set of results; None is a number for which there is nothing to count.

    Attributes:
        tracks: one entry per visible ground-truth track without crowds, by video id.
        min_score: predictions of a lower score took no part.
        num_predictions: predictions that took part.
    """

    tracks: list[TrackStability]
    min_score: float
    num_predictions: int

    def total(self, name: str) -> float:
        """Sum of a number of the tracks."""
        return sum(getattr(track, name) for track in self.tracks)

    def _ratio(self, part: str, whole: str) -> float | None:
        count = self.total(whole)
        return self.total(part) / count if count else None

    @property
    def track_recall(self) -> float | None:
        """Share of the ground-truth tracks that are matched."""
        return self.total('matched') / len(self.tracks) if self.tracks else None

    @property
    def frame_recall(self) -> float | None:
        """Share of the frames in which a ground truth is visible that are covered at IoU .5 or more."""
        return self._ratio('covered', 'visible')

    @property
    def missed_share(self) -> float | None:
        """Share of the spanned frames that are missed."""
        return self._ratio('missed', 'spanned')

    @property
    def smoothness(self) -> float | None:
        """Mean over the pairs of the moved IoU less the ground truth's; 0: as stable as the truth."""
        pairs = self.total('pairs')
        return (self.total('moved_iou') - self.total('truth_moved_iou')) / pairs if pairs else None

    @property
    def id_switches(self) -> int:
        """Changes of the id that covers a ground-truth track, in all."""
        return int(self.total('switches'))

    @property
    def id_switches_per_track(self) -> float | None:
        """Id switches per ground-truth track, matched or not."""
        return self.id_switches / len(self.tracks) if self.tracks else None

    def to_dict(self) -> dict[str, Any]:
        """What the entry "stability" of metrics.json holds: numbers at full precision, and what they were made of.

        None (null) where there is nothing to count: a smoothness may be -1.
        """
        return {
            'track_recall': self.track_recall,
            'frame_recall': self.frame_recall,
            'missed_share': self.missed_share,
            'smoothness': self.smoothness,
            'smoothness_prediction': self._ratio('moved_iou', 'pairs'),
            'smoothness_ground_truth': self._ratio('truth_moved_iou', 'pairs'),
            'id_switches': self.id_switches,
            'id_switches_per_track': self.id_switches_per_track,
            'num_tracks': len(self.tracks),
            'num_matched': self.total('matched'),
            'num_predictions': self.num_predictions,
            'visible_frames': self.total('visible'),
            'spanned_frames': self.total('spanned'),
            'smoothness_pairs': self.total('pairs'),
            'min_score': self.min_score,
        }

    def table(self) -> str:
        """The six numbers; shares and smoothness in percent; '-' where there is nothing to count."""
        names = ('track recall', 'frame recall', 'missed frames', 'smoothness', 'id switches', 'per track')
        shares = (self.track_recall, self.frame_recall, self.missed_share, self.smoothness)
        per_track = self.id_switches_per_track
        cells = ['-' if value is None else f'{100 * value:.1f}' for value in shares]
        cells += [str(self.id_switches), '-' if per_track is None else f'{per_track:.3f}']
        return '\n'.join(
            [
                f'Temporal stability (first four in %; {self.num_predictions} predictions scored '
                f'{self.min_score:g} or more, {len(self.tracks)} ground-truth tracks)',
                ' '.join(f'{name:>13}' for name in names),
                ' '.join(f'{cell:>13}' for cell in cells),
            ]
        )
