"""The final instances of one frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pycocotools import mask as mask_utils

if TYPE_CHECKING:
    import supervision


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
        class_names: name of each instance's class; empty in a stream of :mod:`maskprop.tracking`, which knows
            none, and filled by :class:`~maskprop.apis.session.VideoSession`.
    """

    frame_index: int
    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    masks: list[dict] = field(default_factory=list)
    filled: list[bool] = field(default_factory=list)
    provisional: bool = False
    class_names: list[str] = field(default_factory=list)

    def add(self, track_id: int, label: int, score: float, mask: dict, filled: bool = False) -> None:
        """Append one instance."""
        self.ids.append(track_id)
        self.labels.append(label)
        self.scores.append(score)
        self.masks.append(mask)
        self.filled.append(filled)

    def to_supervision(self) -> supervision.Detections:
        """The frame for the library supervision (``pip install "maskprop[supervision]"``), all N instances.

        Returns:
            ``Detections`` with ``xyxy`` (N, 4) float32, boxes around the masks whose right and lower edges are
            exclusive, ``mask`` (N, h, w) bool, ``confidence`` (N,) float32, ``class_id`` and ``tracker_id`` (N,)
            int, and ``data`` with ``filled`` (N,) bool and, where they are known, ``class_name`` (N,) str. Without
            instances ``mask`` is None, as the frame's size is not known.

        Raises:
            ImportError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise ImportError(
                f'to_supervision needs the library supervision ({error}): pip install "maskprop[supervision]"'
            ) from error
        data = dict(filled=np.array(self.filled, bool))
        if len(self.class_names) == len(self.ids):
            data['class_name'] = np.array(self.class_names, str)
        return supervision.Detections(
            xyxy=_boxes(self.masks),
            mask=np.stack([mask_utils.decode(rle) for rle in self.masks]).astype(bool) if self.masks else None,
            confidence=np.array(self.scores, np.float32),
            class_id=np.array(self.labels, int),
            tracker_id=np.array(self.ids, int),
            data=data,
        )


def _boxes(rles: list[dict]) -> np.ndarray:
    """(N, 4) float32: left, top, right, bottom of RLEs, in pixels; right and bottom exclusive."""
    boxes = np.array([mask_utils.toBbox(rle) for rle in rles], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes
