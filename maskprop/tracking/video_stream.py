"""Streaming video inference: frames in, final frames out; memory depends on the clip, not on the video."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maskprop.ops.masks import paste_binary_masks
from maskprop.methods.maskprop.clip_linker import ClipTracks
from maskprop.tracking.gap_filler import GapFiller
from maskprop.tracking.video_instances import FrameResult, VideoInstances

if TYPE_CHECKING:
    from maskprop.tracking.features import View
    from maskprop.models.video_mask_rcnn import VideoMaskRCNN
    from maskprop.methods.objprop.history_filler import HistoryFiller

OUTPUT_MASKS = ('detection', 'propagated')


@dataclass
class Frame:
    """What a stream keeps of a frame: N instances on a map of H x W cells.

    Attributes:
        code: what the propagation head needs of it; None without one, or if nothing needs it.
        masks: (N, H, W) float, soft masks at the propagation stride.
        boxes: (N, 4) float on the CPU, (x1, y1, x2, y2) in pixels of the video.
        class_scores: N dicts ``{label: score}``, every class that the detector saw there.
        rles: N final masks of the detector.
        size: (height, width) of the video in pixels.
        map_size: (height, width) of the map in pixels of the video, padding included.
        embeds: (N, E) float on the CPU, the track head's embeddings, not normalised; None likewise.
        attention_code: (C, h, w), what the attention head needs of it; None likewise.
        refined: N final masks, refined; None without a refinement head.
        image: (3, H, W) uint8 RGB on the CPU, pixels of the network's input, padding included; None unless a part
            of the stream needs it.
        memo: what a propagator keeps with the frame for its later clips.
    """

    code: Any
    masks: Tensor
    boxes: Tensor
    class_scores: list[dict[int, float]]
    rles: list[dict]
    size: tuple[int, int]
    map_size: tuple[float, float]
    embeds: Tensor | None = None
    attention_code: Tensor | None = None
    refined: list[dict] | None = None
    image: Tensor | None = None
    memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.class_scores)

    @property
    def labels(self) -> list[int]:
        """N class indices, the best-scored one of each instance."""
        return [max(scores, key=scores.get) for scores in self.class_scores]

    def select(self, rows: Sequence[int]) -> Frame:
        """The same frame with these of its instances."""
        index = torch.tensor(rows, dtype=torch.long)
        return replace(
            self,
            masks=self.masks[index.to(self.masks.device)],
            boxes=self.boxes[index],
            class_scores=[self.class_scores[row] for row in rows],
            rles=[self.rles[row] for row in rows],
            embeds=None if self.embeds is None else self.embeds[index],
            refined=None if self.refined is None else [self.refined[row] for row in rows],
        )

    def paste(self, maps: Tensor, threshold: float = 0.5) -> list[dict]:
        """RLEs at the video's size of (N, H, W) soft maps of the network's whole input, at any stride."""
        box = torch.tensor([[0, 0, self.map_size[1], self.map_size[0]]], device=maps.device)
        return paste_binary_masks(maps, box.expand(len(maps), 4), *self.size, threshold=threshold)


class VideoStream:
    """The state of one video. Feed it every frame in order with :meth:`step`, then call :meth:`finish`.

    The clip centred at t needs frames up to t + T, so a frame is final T frames later, with filling 2 T frames
    later, and an aggregator's ``window`` on top of it. A ring of 2 T + 1 frames is kept.

    Args:
        model: gives the frames' features (``start_features``) and encodes them (``encode``).
        linker: gives ids, one linker per video.
        propagator: ``propagate(source, targets)`` gives (S, N, H, W) soft masks.
        clip_radius: T.
        fill: fill missed frames from the clips that carry the id.
        output_mask: the final mask is the ``'detection'``'s or the ``'propagated'`` one at offset 0.
        refine: take the refined masks of the detections, where there are any.
        history_filler: fills a frame right after linking, from the frames before it:
            ``step(frame, result)``; for linkers that need no clips.
        score_rule, min_frames: see :class:`~maskprop.tracking.video_instances.VideoInstances`.

    Raises:
        ValueError: ``output_mask`` or ``score_rule`` is unknown, ``clip_radius`` is below 0, or linker,
            propagator, ``fill``, ``output_mask``, ``refine`` and ``history_filler`` do not go together.
    """

    def __init__(
        self,
        *,
        model: VideoMaskRCNN,
        linker: Any,
        propagator: Any,
        clip_radius: int = 6,
        fill: bool = False,
        output_mask: str = 'detection',
        refine: bool = False,
        history_filler: HistoryFiller | None = None,
        score_rule: str = 'with_category',
        min_frames: int = 1,
    ) -> None:
        if not isinstance(clip_radius, int) or clip_radius < 0:
            raise ValueError(f'clip_radius={clip_radius!r}: expected 0 or more frames on each side')
        if output_mask not in OUTPUT_MASKS:
            raise ValueError(f'output_mask={output_mask!r} is unknown; choose one of {OUTPUT_MASKS}')
        if linker.needs_clips and propagator is None:
            raise ValueError(
                f'{type(linker).__name__} links clip tracks, but the model has no propagation_head or propagator'
            )
        if refine and output_mask == 'propagated':
            raise ValueError('refine=True refines the masks of detections, but output_mask is "propagated"')
        if not linker.needs_clips and (fill or output_mask == 'propagated'):
            raise ValueError(
                f'fill=True and output_mask="propagated" need clips, which {type(linker).__name__} does without'
            )
        if linker.needs_clips and history_filler is not None:
            raise ValueError(
                f'history_fill works online, but {type(linker).__name__} links clips: set history_fill=None '
                '(fill=True fills from the clips), or take a linker that needs no clips'
            )
        self.model = model
        self.features = model.start_features()
        self.linker = linker
        self.propagator = propagator
        self.radius = clip_radius if linker.needs_clips else 0
        self.output_mask = output_mask
        self.refine = refine
        self.filler = GapFiller() if fill else None
        self.history_filler = history_filler
        self.instances = VideoInstances(score_rule, min_frames)
        self.needs = self._needs()
        self._ring: deque[Frame] = deque(maxlen=2 * self.radius + 1)
        self._pending: deque[tuple[Frame, FrameResult]] = deque()
        self._seen = 0  # frames taken
        self._centre = 0  # the next clip's centre
        self._finished = False

    def step(self, image: Tensor, meta: dict) -> list[FrameResult]:
        """Take the next frame.

        Args:
            image: (1, 3, H, W) float, normalised and padded.
            meta: ``img_shape``, ``ori_shape``, ``scale_factor`` of the frame.

        Returns:
            the frames that became final, in order; often none or one.

        Raises:
            RuntimeError: the video was finished.
        """
        self._check_open()
        return self._push_views(self.features.step(image, meta))

    def step_chunk(self, images: Tensor, metas: Sequence[dict]) -> list[FrameResult]:
        """:meth:`step` for F frames: images (F, 3, H, W), F metas."""
        return [r for image, meta in zip(images, metas, strict=True) for r in self.step(image[None], meta)]

    @torch.no_grad()
    def push(self, frame: Frame) -> list[FrameResult]:
        """Like :meth:`step`, for a frame that is encoded already.

        Raises:
            RuntimeError: the video was finished.
        """
        self._check_open()
        self._ring.append(frame)
        self._seen += 1
        return self._process_clip() if self._seen > self.radius else []

    @torch.no_grad()
    def finish(self) -> list[FrameResult]:
        """End the video: the clips of its last T frames are shorter. Returns the remaining frames."""
        results = self._push_views(self.features.finish())
        while self._centre < self._seen:
            results += self._process_clip()
        while self._pending:
            results.append(self._finalize())
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

    def _check_open(self) -> None:
        if self._finished:
            raise RuntimeError('the video was finished; model.start_video() begins another')

    def _push_views(self, views: Sequence[View]) -> list[FrameResult]:
        return [r for view in views for r in self.push(self.model.encode(view, needs=self.needs))]

    def _needs(self) -> set[str]:
        """Fields of a :class:`Frame` that a part of this stream looks at, beside those that all have."""
        clips = self.linker.needs_clips
        parts = (self.linker, self.propagator) if clips else (self.linker,)
        wanted = dict(
            code=clips and getattr(self.propagator, 'needs_code', True),
            embeds=getattr(self.linker, 'needs_embeds', False),
            attention_code=self.history_filler is not None,
            refined=self.refine,
            image=any(getattr(part, 'needs_images', False) for part in parts),
        )
        return {name for name, needed in wanted.items() if needed}

    def _process_clip(self) -> list[FrameResult]:
        """Propagate, link and score the clip centred at the next frame."""
        start = self._seen - len(self._ring)
        first = max(self._centre - self.radius, 0)
        clip = [self._ring[i - start] for i in range(first, min(self._centre + self.radius + 1, self._seen))]
        frame = self._ring[self._centre - start]
        if self.linker.needs_clips:
            masks = self.propagator.propagate(frame, clip)  # [S, N, H, W]
            ids = self.linker.link(ClipTracks.from_masks(first, masks, frame.labels))
        else:
            masks = None
            frame, ids = _drop_losers(frame, self.linker.link(frame))
        result = FrameResult(self._centre)
        rles = frame.rles if self.output_mask == 'detection' else frame.paste(masks[self._centre - first])
        if self.refine and frame.refined is not None:
            rles = frame.refined
        for track_id, label, scores, rle in zip(ids, frame.labels, frame.class_scores, rles, strict=True):
            result.add(track_id, label, scores[label], rle)
            self.instances.add_scores(track_id, scores)
        if self.history_filler is not None:
            self.history_filler.step(frame, result)
        if self.filler is not None:
            self.filler.add_clip(first, ids, masks)
        self._pending.append((frame, result))
        self._centre += 1
        # with filling, clips up to t + T may still fill frame t
        delay = self.radius if self.filler is not None else 0
        return [self._finalize()] if len(self._pending) > delay else []

    def _finalize(self) -> FrameResult:
        frame, result = self._pending.popleft()
        if self.filler is not None:
            self.filler.fill(frame, result, self.instances)
        self.instances.add_frame(result)
        return result


def _drop_losers(frame: Frame, ids: list[int | None]) -> tuple[Frame, list[int]]:
    """Without the detections to which the linker gave no id: they are not in the result."""
    if None not in ids:
        return frame, ids
    rows = [row for row, track_id in enumerate(ids) if track_id is not None]
    return frame.select(rows), [ids[row] for row in rows]
