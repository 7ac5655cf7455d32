"""HOTA, CLEAR and identity metrics of any choice of a set's videos; what is in a video is counted once."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from .result import TrackResult


class ResampledTracks:
    """The numbers of one set of results, whose videos come so many times each.

    Args:
        result: of the whole set, with its ``videos``.
    """

    def __init__(self, result: TrackResult) -> None:
        assert result.videos is not None, 'measured without keep_videos'
        self._result, parts = result, result.videos
        by_class: dict[tuple[str, int], list[int]] = defaultdict(list)
        for video, part in enumerate(parts):
            for kind, of_kind in part.sums.items():
                for category in of_kind:
                    by_class[kind, category].append(video)
        # only the videos that a class is in: sets may have thousands of both
        self._sums = {
            (kind, category): (
                np.array(videos),
                {
                    name: np.stack([parts[video].sums[kind][category][name] for video in videos])
                    for name in parts[videos[0]].sums[kind][category]
                },
            )
            for (kind, category), videos in by_class.items()
        }
        self._tracks = {
            category: np.array([part.num_tracks.get(category, 0) for part in parts])
            for category in result.num_tracks
        }
        self._predictions = np.array([part.num_predictions for part in parts])

    def choose(self, copies: np.ndarray) -> TrackResult:
        """The result on the set in which each video comes ``copies`` times, int64 (V,)."""
        chosen = self._result.empty()
        chosen.num_predictions = int(copies @ self._predictions)
        counts = {category: int(copies @ tracks) for category, tracks in self._tracks.items()}
        chosen.num_tracks = {category: count for category, count in counts.items() if count}
        for (kind, category), (videos, sums) in self._sums.items():
            times = copies[videos]
            if times.any():
                of_class = {name: times @ values for name, values in sums.items()}
                chosen.sums.setdefault(kind, {})[category] = of_class
        return chosen
