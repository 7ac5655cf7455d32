"""One video in progress: clips are decoded, their tracks linked over shared frames, their masks averaged."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast

import torch
import torch.nn.functional as F
from mmdet.registry import TASK_UTILS
from torch import Tensor

from maskprop.methods.mask2former_vis.pixel_decoder import DecodedFrames
from maskprop.ops.masks import encode_mask
from maskprop.structures import ClipTracks, FrameResult, Linker
from maskprop.tracking.video_instances import SCORE_RULES, VideoInstances


@dataclass(frozen=True)
class Mask2FormerStreamOptions:
    """How a video is streamed.

    Attributes:
        clip_radius: T; clips have 2 T + 1 frames.
        clip_stride: frames from the start of a clip to that of the next; None: T + 1, so that each shares T frames
            with the one before.
        max_per_clip: so many of the best pairs of query and class of a clip are kept, as published 10; a query may
            have several classes.
        linker: config of what joins the tracks of clips; None: MaskProp's ``ClipLinker`` (its Eq. 4 and 5).
        score_rule, min_frames: see :class:`~maskprop.tracking.video_instances.VideoInstances`; scores are averaged
            over clips, as in MaskProp, Section 4.4.

    Raises:
        ValueError: a value is out of range, or clips would not overlap.
    """

    clip_radius: int = 6
    clip_stride: int | None = None
    max_per_clip: int = 10
    linker: dict | None = None
    score_rule: str = 'with_category'
    min_frames: int = 1

    def __post_init__(self) -> None:
        if self.clip_radius < 1 or not 1 <= self.stride < self.clip_length:
            raise ValueError(
                f'clip_radius={self.clip_radius}, clip_stride={self.stride}: expected a radius of 1 or more '
                'and a stride below the 2 clip_radius + 1 frames of a clip, so that clips share frames'
            )
        if self.max_per_clip < 1:
            raise ValueError(f'max_per_clip={self.max_per_clip}: expected 1 or more')
        if self.score_rule not in SCORE_RULES:
            raise ValueError(f'score_rule={self.score_rule!r} is unknown; choose one of {SCORE_RULES}')

    @property
    def stride(self) -> int:
        """Frames from the start of a clip to that of the next."""
        return self.clip_radius + 1 if self.clip_stride is None else self.clip_stride

    @property
    def clip_length(self) -> int:
        """2 T + 1 frames."""
        return 2 * self.clip_radius + 1

    def build_linker(self) -> Linker:
        """What joins the tracks of clips; one for each video."""
        linker = TASK_UTILS.build(self.linker or dict(type='ClipLinker'))
        if not linker.needs_clips:
            raise ValueError(f'linker {type(linker).__name__} links detections of frames; here clips are linked')
        return linker


class ClipModel(Protocol):
    """What a :class:`Mask2FormerStream` asks of a model."""

    def decode_frames(self, images: Tensor) -> DecodedFrames:
        """What of T frames (T, 3, H, W) does not depend on the clip."""

    def decode_clip(self, frames: DecodedFrames) -> tuple[Tensor, Tensor]:
        """Class logits (Q, K + 1) of the queries, and their mask logits (Q, T, H / 4, W / 4)."""


class _Tracks(NamedTuple):
    """The N tracks of a clip: class scores ``{label: score}``, and mask logits (N, T, H / 4, W / 4)."""

    scores: list[dict[int, float]]
    logits: Tensor


@dataclass
class _OpenFrame:
    """A frame that further clips may cover: the sums of its mask logits by id, and of how many clips they are."""

    index: int
    meta: dict
    input_size: tuple[int, int]
    sums: dict[int, tuple[Tensor, int]] = field(default_factory=dict)


class Mask2FormerStream:
    """The state of one video: feed it every frame in order with :meth:`step`, then call :meth:`finish`.

    The first clip begins at frame 0, each further one ``clip_stride`` frames later; what is left at the end gets a
    clip that ends with the video. A clip's tracks are linked to those before by their soft masks in the frames
    that they share. A frame's mask of an id is where the mean of its logits over the clips that cover it is above
    0. It is final once no further clip covers it: at most 2 T + 1 frames later. Kept are the decoded features of
    one clip and the logits of its tracks, so memory does not grow with the video.

    Args:
        model: decodes frames and clips; in evaluation mode.
        options: see :class:`Mask2FormerStreamOptions`.
    """

    def __init__(self, model: ClipModel, options: Mask2FormerStreamOptions) -> None:
        self.model = model
        self.options = options
        self.linker = options.build_linker()
        self.instances = VideoInstances(options.score_rule, options.min_frames)
        self._images: list[Tensor] = []  # not yet decoded
        self._decoded: deque[DecodedFrames] = deque(maxlen=options.clip_length)  # the latest frames
        self._open: deque[_OpenFrame] = deque()
        self._seen = 0  # frames taken
        self._next = 0  # first frame of the next clip
        self._covered = 0  # frames before this one are in a clip
        self._finished = False

    def step(self, image: Tensor, meta: dict) -> list[FrameResult]:
        """Take the next frame.

        Args:
            image: (1, 3, H, W) float, normalised and padded to multiples of 32.
            meta: ``img_shape`` and ``ori_shape`` of the frame.

        Returns:
            the frames that became final, in order.

        Raises:
            RuntimeError: the video was finished.
        """
        if self._finished:
            raise RuntimeError('the video was finished; model.start_video() begins another')
        self._images.append(image)
        self._open.append(_OpenFrame(self._seen, meta, tuple(image.shape[-2:])))
        self._seen += 1
        if self._seen < self._next + self.options.clip_length:
            return []
        return self._run_clip(self._next)

    def step_chunk(self, images: Tensor, metas: Sequence[dict]) -> list[FrameResult]:
        """:meth:`step` for F frames: images (F, 3, H, W), F metas."""
        return [r for image, meta in zip(images, metas, strict=True) for r in self.step(image[None], meta)]

    def finish(self) -> list[FrameResult]:
        """End the video; the remaining frames."""
        results = []
        if self._covered < self._seen:
            results += self._run_clip(max(self._seen - self.options.clip_length, 0))
        results += self._finalize(self._seen)
        self._finished = True
        return results

    def video_instances(self) -> VideoInstances:
        """The whole video's instances, after :meth:`finish`.

        Raises:
            RuntimeError: before it.
        """
        if not self._finished:
            raise RuntimeError('call finish() first: frames are still open')
        return self.instances

    @torch.no_grad()
    def _run_clip(self, first: int) -> list[FrameResult]:
        """Decode and link the clip from ``first`` on; frames that no further clip covers are final."""
        decoded = self.model.decode_frames(torch.cat(self._images))
        self._decoded.extend(decoded.frame(row) for row in range(len(self._images)))
        self._images = []
        frames = list(self._decoded)[first - self._seen :]
        tracks = self._predict(DecodedFrames.join(frames))
        soft = tracks.logits.sigmoid().transpose(0, 1)  # [T, N, h, w]
        labels = [max(scores, key=scores.__getitem__) for scores in tracks.scores]
        ids = cast(list[int], self.linker.link(ClipTracks.from_masks(first, soft, labels)))
        for track_id, scores in zip(ids, tracks.scores, strict=True):
            self.instances.add_scores(track_id, scores)
        for frame in self._open:
            if frame.index >= first:
                for track_id, logits in zip(ids, tracks.logits[:, frame.index - first], strict=True):
                    total, clips = frame.sums.get(track_id, (0, 0))
                    frame.sums[track_id] = (total + logits, clips + 1)
        self._covered = self._seen
        self._next = first + self.options.stride
        return self._finalize(self._next)

    def _predict(self, clip: DecodedFrames) -> _Tracks:
        """The queries with the best scores, as mmdet's ``predict_by_feat`` chooses them."""
        class_logits, mask_logits = self.model.decode_clip(clip)
        scores = class_logits.softmax(-1)[:, :-1]
        best, places = scores.flatten().topk(min(self.options.max_per_clip, scores.numel()))
        by_query: dict[int, dict[int, float]] = {}
        for place, score in zip(places.tolist(), best.tolist(), strict=True):
            query, label = divmod(place, scores.shape[1])
            by_query.setdefault(query, {})[label] = score
        return _Tracks(list(by_query.values()), mask_logits[list(by_query)])

    def _finalize(self, end: int) -> list[FrameResult]:
        """Results of the open frames before ``end``."""
        results = []
        while self._open and self._open[0].index < end:
            results.append(self._result(self._open.popleft()))
        return results

    def _result(self, frame: _OpenFrame) -> FrameResult:
        result = FrameResult(frame.index)
        if frame.sums:
            logits = torch.stack([total / clips for total, clips in frame.sums.values()])
            masks = enlarge(logits, frame.input_size, frame.meta) > 0
            for track_id, mask in zip(frame.sums, masks.cpu().numpy(), strict=True):
                if mask.any():
                    label = self.instances.best_label(track_id)
                    score = self.instances.score(track_id, label)
                    result.add(track_id, label, score, encode_mask(mask))
        self.instances.add_frame(result)
        return result


def enlarge(logits: Tensor, input_size: tuple[int, int], meta: dict) -> Tensor:
    """Mask logits (N, h, w) of the padded input at the video's size (N, H, W), in two steps as mmdet's."""
    whole = F.interpolate(logits[None], size=input_size, mode='bilinear', align_corners=False)
    height, width = meta['img_shape'][:2]
    shown = whole[..., :height, :width]
    return F.interpolate(shown, size=meta['ori_shape'][:2], mode='bilinear', align_corners=False)[0]
