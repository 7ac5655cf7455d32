"""True, false and missed tracks by class and by video, and which class is taken for which."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from maskprop.analysis.errors import VideoErrors
from maskprop.analysis.video_matches import VideoMatches, match_tracks_by_score
from maskprop.evaluation.bootstrap import resampled_ap
from maskprop.evaluation.detections import VideoDetections
from maskprop.evaluation.ground_truth import GroundTruth
from maskprop.evaluation.video_ap import VideoAPResult

MISSED, NOTHING = 'missed', 'nothing there'


@dataclass
class Tally:
    """Tracks at video IoU .5, results of a least score and above.

    Attributes:
        truths: ground truths. true: of those, found. false: results that are none. missed: ``truths - true``.
    """

    truths: int = 0
    true: int = 0
    false: int = 0

    @property
    def missed(self) -> int:
        return self.truths - self.true


def tally_classes(matches: list[VideoMatches], min_score: float) -> dict[int, Tally]:
    """{category id: its counts}, by ascending id, of categories that have ground truth or results."""
    tallies: dict[int, Tally] = {}
    for video in matches:
        for category in video.truth_categories[video.counted].tolist():
            tallies.setdefault(category, Tally()).truths += 1
        shown = video.scores >= min_score
        for category in video.categories[shown & (video.match >= 0)].tolist():
            tallies[category].true += 1
        for category in video.categories[shown & video.false].tolist():
            tallies.setdefault(category, Tally()).false += 1
    return dict(sorted(tallies.items()))


def tally_video(video: VideoMatches, min_score: float) -> Tally:
    """The counts of one video."""
    shown = video.scores >= min_score
    return Tally(
        int(video.counted.sum()), int((shown & (video.match >= 0)).sum()), int((shown & video.false).sum())
    )


def video_aps(result: VideoAPResult, index: int) -> tuple[float, float]:
    """AP and AP50 of one video alone, mean over the categories of its ground truths; -1 without any."""
    own = replace(result, matches=[category for category in result.matches if category.num_gts[0, index]])
    alone = np.zeros(result.num_videos, dtype=np.int64)
    alone[index] = 1
    return resampled_ap(own, alone), resampled_ap(own, alone, 'AP50')


def worst_videos(aps: dict[int, tuple[float, float]], errors: list[VideoErrors], number: int) -> list[int]:
    """Indices of the videos of lowest AP, those with most errors first among equals; none without ground truth."""
    mistakes = {video.matches.index: sum(map(bool, [*video.kind, *video.truth_kind])) for video in errors}
    counted = [index for index, (ap, _) in aps.items() if ap >= 0]
    return sorted(counted, key=lambda index: (aps[index], -mistakes[index], index))[:number]


def confuse_classes(
    truth: GroundTruth, detections: list[VideoDetections], matches: list[VideoMatches], min_score: float
) -> tuple[list[str], np.ndarray]:
    """How often which class was taken for which, at video IoU .5.

    Results of all classes are matched with all ground truths, by descending score; of several results of one
    identity (``track_id``) the best counts.

    Returns:
        names (C,) of the classes that occur, by ascending id; and int64 (C + 1, C + 1): rows are classes of ground
        truths, the last row results that are none; columns classes of results, the last column what was missed.
    """
    pairs: list[tuple[int, int]] = []  # categories; -1: none
    for found, video in zip(detections, matches, strict=True):
        dets = np.argsort(-video.scores, kind='stable')
        dets = dets[video.scores[dets] >= min_score]
        dets = dets[np.sort(np.unique(found.identities[video.rows[dets]], return_index=True)[1])]
        crowd = ~video.counted
        match = match_tracks_by_score(video.ious[dets], crowd)
        for d, gt in zip(dets.tolist(), match.tolist(), strict=True):
            if gt < 0 or not crowd[gt]:
                pairs.append((-1 if gt < 0 else int(video.truth_categories[gt]), int(video.categories[d])))
        left = np.setdiff1d(np.flatnonzero(video.counted), match)
        pairs += [(category, -1) for category in video.truth_categories[left].tolist()]
    ids = sorted({category for pair in pairs for category in pair} - {-1})
    place = {category: i for i, category in enumerate(ids)} | {-1: len(ids)}
    table = np.zeros((len(ids) + 1, len(ids) + 1), dtype=np.int64)
    for row, column in pairs:
        table[place[row], place[column]] += 1
    return [truth.categories[category] for category in ids], table
