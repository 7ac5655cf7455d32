"""Tracking by detection: mmdet's SORT, DeepSORT and ByteTrack as linkers (MaskProp, Table 2)."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from maskprop.methods.tracking_by_detection.reid import check_reid, load_reid, normalize
from maskprop.structures import Frame

TRACK_HEAD = 'track_head'  # of the codes that reid='embeds' compares
TRACKERS = ('SORTTracker', 'ByteTracker')


@TASK_UTILS.register_module()
class MMDetTrackerLinker:
    """Gives the detections of each frame the ids that a tracker of mmdet gives to their boxes.

    Masks follow their boxes. One linker serves one video; only the appearance net, which keeps nothing of a video,
    is shared. A detection that the tracker passes over (for its score, mostly) gets no id.

    Args:
        tracker: mmdet's config of a ``SORTTracker`` or ``ByteTracker``, as in its configs under ``model.tracker``;
            without ``motion`` it gets a ``KalmanFilter``.
        reid: what makes SORT DeepSORT: the config of a net over crops
            (:func:`~maskprop.methods.tracking_by_detection.reid.load_reid`), or ``'embeds'``: the embeddings of
            the model's track head, at unit length. ``None``: no appearance.
        same_category: ids are kept within a category, which is what mmdet's trackers do with more than one; False:
            they are shown one category only.

    Raises:
        ValueError: the tracker is another one, ``reid`` is incomplete, or the two do not go together.
        FileNotFoundError: the file of the net's weights is missing.
        ModuleNotFoundError: a ``ByteTracker`` without the package lap.
    """

    needs_clips = False

    def __init__(self, tracker: dict, reid: dict | str | None = None, same_category: bool = True) -> None:
        tracker = deepcopy(dict(tracker))
        kind = tracker.get('type')
        if kind not in TRACKERS:
            raise ValueError(f'linker.tracker.type={kind!r} is not supported; choose one of {TRACKERS}')
        if isinstance(reid, str) and reid != 'embeds':
            raise ValueError(f"linker.reid={reid!r}: expected 'embeds', the config of a net, or None")
        if kind == 'SORTTracker':
            _set_appearance(tracker, reid)
        elif reid is not None:
            raise ValueError(f'linker.reid: {kind} does not look at the appearance; set reid=None')
        tracker.setdefault('motion', dict(type='KalmanFilter'))
        self.tracker = _build(tracker)
        self.reid = check_reid(reid) if isinstance(reid, dict) else reid
        self.needs = ('image',) if isinstance(reid, dict) else (TRACK_HEAD,) if reid == 'embeds' else ()
        self.same_category = same_category
        self._frame = -1

    @torch.no_grad()
    def link(self, frame: Frame) -> list[int | None]:
        """Ids of a frame's detections; frames come in order.

        Args:
            frame: with (N, 4) ``boxes``, N ``class_scores``, and the track head's code or the ``image`` that
                ``reid`` needs.

        Returns:
            N video-level ids, from 1; None for a detection that is left out of the result.

        Raises:
            ValueError: the frame has no image, and the net of ``reid`` needs it.
            ConnectionError, CheckpointError: the net's weights can't be had, see
                :func:`~maskprop.methods.tracking_by_detection.reid.load_reid`; they are loaded when first needed.
            RuntimeError: the tracker gives detections back in an order that this linker does not know.
        """
        self._frame += 1
        scores = torch.tensor([max(scores.values()) for scores in frame.class_scores])
        labels = torch.tensor(frame.labels if self.same_category else [0] * len(frame), dtype=torch.long)
        sample = DetDataSample(metainfo=dict(frame_id=self._frame))
        # ByteTracker reorders detections together with their masks, so these carry the rows
        rows = torch.arange(len(frame))
        sample.pred_instances = InstanceData(
            bboxes=frame.boxes.clone(), labels=labels, scores=scores, masks=rows.view(-1, 1, 1)
        )
        if self.reid is None:
            found = self.tracker.track(model=None, img=torch.empty(0), data_sample=sample)
        else:
            found = self._track_with_appearance(frame, sample, scores > self.tracker.obj_score_thr)
        # SORTTracker leaves out low scores and keeps the order
        rows = found.masks.flatten() if 'masks' in found else (scores > self.tracker.obj_score_thr).nonzero()[:, 0]
        if not torch.equal(found.bboxes, frame.boxes[rows]):
            raise RuntimeError(
                f'{type(self.tracker).__name__} of this version of mmdet gives detections back in another order '
                'than expected; ids would go to the wrong masks'
            )
        ids: list[int | None] = [None] * len(frame)
        for row, track_id in zip(rows.tolist(), found.instances_id.tolist(), strict=True):
            ids[row] = track_id + 1
        self._forget()
        return ids

    def _forget(self) -> None:
        """Drop what the tracker no longer looks at; mmdet's own trackers keep every frame of a living track."""
        samples = (getattr(self.tracker, 'reid', None) or {}).get('num_samples', 1)
        for track in self.tracker.tracks.values():
            for name, memory in track.items():
                endless = name == 'embeds' and samples is None  # the mean over all frames is wanted
                if isinstance(memory, list) and not endless:
                    del memory[: -max(self.tracker.num_tentatives, samples or 1)]

    def _track_with_appearance(self, frame: Frame, sample: DetDataSample, tracked: Tensor) -> InstanceData:
        """``tracked``: (N,) bool, the detections that the tracker will ask embeddings of, in this order."""
        if self.reid == 'embeds':
            embeds = F.normalize(frame.codes[TRACK_HEAD].values[tracked], dim=1)
            sample.set_metainfo(dict(img_shape=(1, 1)))  # nobody looks at the crops
            reid = _Embedder(lambda crops: embeds, embeds.shape[1])
            return self.tracker.track(SimpleNamespace(reid=reid), torch.zeros(1, 3, 1, 1), sample)
        assert isinstance(self.reid, dict)
        if frame.image is None:
            raise ValueError("linker.reid needs the image of the frame: encode it with needs={'image'}")
        net = load_reid(self.reid, frame.masks.device)
        image = normalize(frame.image.to(frame.masks.device), self.reid)
        scales = [side / of_map for side, of_map in zip(image.shape[-2:], frame.map_size, strict=True)]
        shown = [round(side * scale) for side, scale in zip(frame.size, scales, strict=True)]
        sample.set_metainfo(dict(img_shape=tuple(shown), scale_factor=tuple(scales[::-1])))
        reid = _Embedder(lambda crops: net(crops, mode='tensor').float().cpu(), net.head.out_channels)
        return self.tracker.track(SimpleNamespace(reid=reid), image, sample, rescale=True)


class _Embedder:
    """What ``SORTTracker`` asks of ``model.reid``: a call, and ``head.out_channels``."""

    def __init__(self, embed: Callable[[Tensor], Tensor], channels: int) -> None:
        self.embed = embed
        self.head = SimpleNamespace(out_channels=channels)

    def __call__(self, crops: Tensor, mode: str) -> Tensor:
        return self.embed(crops)


def _set_appearance(tracker: dict, reid: dict | str | None) -> None:
    """Switch the appearance of a ``SORTTracker``, on by default in mmdet, on or off."""
    if reid is None:
        if tracker.get('reid'):
            raise ValueError('linker.tracker.reid is set, but linker.reid, the net, is not: set both or none')
        tracker['reid'] = None
        return
    settings = dict(num_samples=10, img_scale=(256, 128), img_norm_cfg=None, match_score_thr=2.0)
    tracker['reid'] = {**settings, **(tracker.get('reid') or {})}
    if tracker['reid']['img_norm_cfg'] is not None:
        raise ValueError('linker.tracker.reid.img_norm_cfg: set linker.reid.data_preprocessor instead')
    if reid == 'embeds':
        tracker['reid']['img_scale'] = (1, 1)


def _build(tracker: dict) -> Any:
    try:
        return MODELS.build(tracker)
    except RuntimeError as error:
        if 'lap is not installed' not in str(error):
            raise
        raise ModuleNotFoundError("mmdet's ByteTracker needs the package lap: pip install lap") from None
