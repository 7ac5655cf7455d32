"""The final instances of one frame."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class FrameResult:
    """The final instances of one frame.

    Attributes:
        frame_index: 0-based position in the video.
        ids: video-level ids, from 1.
        labels: class index of each instance, by its best-scored detection; of a filled one as the filler says: the
            id's best class, or its latest label.
        scores: detection scores in [0, 1]; of a filled one, the id's mean score of that class so far, or its mean
            score in the history.
        masks: compressed RLEs at the video's own size.
        filled: True where the mask was propagated because the detector missed the object.
        provisional: True where the linker decides at the end of the video: ids may then be joined or renamed, and
            only :class:`~maskprop.tracking.video_instances.VideoInstances` has the final ones.
    """

    frame_index: int
    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    masks: list[dict] = field(default_factory=list)
    filled: list[bool] = field(default_factory=list)
    provisional: bool = False

    def add(self, track_id: int, label: int, score: float, mask: dict, filled: bool = False) -> None:
        """Append one instance."""
        self.ids.append(track_id)
        self.labels.append(label)
        self.scores.append(score)
        self.masks.append(mask)
        self.filled.append(filled)
