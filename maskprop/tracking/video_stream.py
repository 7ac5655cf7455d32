"""Streaming video inference: frames in, final frames out; memory depends on the clip, not on the video."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from maskprop.structures import (
    ClipTracks,
    Frame,
    FrameFiller,
    FrameResult,
    Linker,
    Propagator,
    View,
    takes_many,
)
from maskprop.tracking.features import FeatureStream
from maskprop.tracking.gap_filler import GapFiller
from maskprop.tracking.video_instances import VideoInstances
from maskprop.utils.errors import UserError
from maskprop.utils.text import plural

OUTPUT_MASKS = ('detection', 'propagated')


class LinkerError(UserError, ValueError):
    """A linker whose ids are not one for each detection; the message names its class and the frame."""


class FrameModel(Protocol):
    """What a :class:`VideoStream` asks of a model."""

    def start_features(self, frames_at_once: int) -> FeatureStream:
        """The features of a new video."""

    def encode_batch(self, views: Sequence[View], *, needs: Collection[str]) -> list[Frame]:
        """The frames of views, with the codes that are needed."""


@dataclass(frozen=True)
class StreamOptions:
    """How a video is streamed: keys of a model's config, and what ``model.start_video`` takes.

    Attributes:
        linker: config of the linker that gives video-level ids.
        propagator: config of what takes the propagation head's place at test (a baseline); ``None``: the head.
        clip_radius: T; clips have 2 T + 1 frames.
        fill: fill frames in which the detector missed an object from its id's clips (not in the paper).
        output_mask: the final mask at t is the ``'detection'``'s or the ``'propagated'`` one at offset 0.
        refine: the final masks are the refinement head's; ``None``: where the model has one. Only final masks are
            refined, not those that are propagated or filled.
        classify: detections' classes and scores are those of the classification head; ``None``: where the model
            has one.
        history_fill: keyword arguments of the filler that the attention head makes, which fills missed objects
            online (:class:`~maskprop.methods.objprop.history_filler.HistoryFiller`); ``None``: no such filling.
        score_rule: an id's scores, see :class:`~maskprop.tracking.video_instances.VideoInstances`.
        min_frames: ids that are present in fewer frames are left out of the result.
        frames_at_once: so many frames go through backbone, detector and heads together, and their clips through
            the propagation. ``None``: 8 on a GPU, which one frame does not fill, else 1. Results are the same, but
            come out up to ``frames_at_once - 1`` frames later.

    Raises:
        ValueError: ``frames_at_once`` is below 1.
    """

    linker: dict | None = None
    propagator: dict | None = None
    clip_radius: int = 6
    fill: bool = False
    output_mask: str = 'detection'
    refine: bool | None = None
    classify: bool | None = None
    history_fill: dict | None = None
    score_rule: str = 'with_category'
    min_frames: int = 1
    frames_at_once: int | None = None

    def __post_init__(self) -> None:
        if self.linker is None:
            object.__setattr__(self, 'linker', dict(type='ClipLinker'))
        if self.frames_at_once is not None and self.frames_at_once < 1:
            raise ValueError(f'frames_at_once={self.frames_at_once}: expected 1 or more')


class VideoStream:
    """The state of one video. Feed it every frame in order with :meth:`step`, then call :meth:`finish`.

    The clip centred at t needs frames up to t + T, so a frame is final T frames later, with filling 2 T frames
    later, and an aggregator's ``window`` on top of it. A ring of 2 T + 1 frames is kept, and the frames that were
    computed together with the latest of them.

    Args:
        model: gives the frames' features (``start_features``) and encodes them (``encode``).
        linker: gives ids, one linker per video. If it has a ``finish``, its ids are provisional until the video
            ends (:class:`~maskprop.structures.protocols.Linker`): the frames' results say so, and
            :meth:`video_instances` has the final ones.
        propagator: ``propagate(source, targets)`` gives (S, N, H, W) soft masks; for linkers that link clips.
        clip_radius: T.
        fill: fill missed frames from the clips that carry the id.
        output_mask: the final mask is the ``'detection'``'s or the ``'propagated'`` one at offset 0.
        refined: the key of ``Frame.codes`` whose masks are final in place of the detector's, where there are any.
        classified: the key of ``Frame.codes`` whose class scores are taken in place of the detector's.
        history_filler: fills a frame right after linking, from the frames before it; for linkers that need no
            clips.
        score_rule, min_frames: see :class:`~maskprop.tracking.video_instances.VideoInstances`.
        frames_at_once: so many frames are computed together.

    Raises:
        ValueError: ``output_mask`` or ``score_rule`` is unknown, ``clip_radius`` is below 0, or linker,
            propagator, ``fill``, ``output_mask``, ``refined`` and ``history_filler`` do not go together.
    """

    def __init__(
        self,
        *,
        model: FrameModel,
        linker: Linker,
        propagator: Propagator | None,
        clip_radius: int = 6,
        fill: bool = False,
        output_mask: str = 'detection',
        refined: str | None = None,
        classified: str | None = None,
        history_filler: FrameFiller | None = None,
        score_rule: str = 'with_category',
        min_frames: int = 1,
        frames_at_once: int = 1,
    ) -> None:
        if not isinstance(clip_radius, int) or clip_radius < 0:
            raise ValueError(f'clip_radius={clip_radius!r}: expected 0 or more frames on each side')
        if output_mask not in OUTPUT_MASKS:
            raise ValueError(f'output_mask={output_mask!r} is unknown; choose one of {OUTPUT_MASKS}')
        if linker.needs_clips and propagator is None:
            raise ValueError(
                f'{type(linker).__name__} links clip tracks, but the model has no propagation_head or propagator'
            )
        if refined and output_mask == 'propagated':
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
        self.features = model.start_features(frames_at_once)
        self.linker = linker
        self.propagator = propagator
        self.radius = clip_radius if linker.needs_clips else 0
        self.output_mask = output_mask
        self.refined = refined
        self.classified = classified
        self.filler = GapFiller() if fill else None
        self.history_filler = history_filler
        self.instances = VideoInstances(score_rule, min_frames)
        self.needs = self._needs()
        self.frames_at_once = frames_at_once
        self._ring: deque[Frame] = deque()
        self._pending: deque[tuple[Frame, FrameResult]] = deque()
        self._seen = 0  # frames taken
        self._centre = 0  # the next clip's centre
        self._finished = False
        self._provisional = hasattr(linker, 'finish')
        self._revises = hasattr(linker, 'revise')

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
        self._check_open()
        return self._push_views(self.features.step_chunk(images, metas))

    def push(self, frame: Frame) -> list[FrameResult]:
        """Like :meth:`step`, for a frame that is encoded already.

        Raises:
            RuntimeError: the video was finished.
        """
        self._check_open()
        return self._push([frame])

    @torch.no_grad()
    def _push(self, frames: Sequence[Frame]) -> list[FrameResult]:
        for frame in frames:
            if self.classified in frame.codes:
                frame = replace(frame, class_scores=frame.codes[self.classified].values)
            self._ring.append(frame)
            self._seen += 1
        return self._process_clips(self._seen - self.radius)

    @torch.no_grad()
    def finish(self) -> list[FrameResult]:
        """End the video: the clips of its last T frames are shorter. Returns the remaining frames."""
        results = self._push_views(self.features.finish())
        results += self._process_clips(self._seen)
        while self._pending:
            results.append(self._finalize())
        if self._provisional and not self._finished:
            self.instances.rename(cast(Any, self.linker).finish())
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
        results = []
        for start in range(0, len(views), self.frames_at_once):
            some = views[start : start + self.frames_at_once]
            results += self._push(self.model.encode_batch(some, needs=self.needs))
        return results

    def _needs(self) -> set[str]:
        """Codes of a :class:`Frame`, and its ``'image'``, that a part of this stream looks at."""
        propagator = self.propagator if self.linker.needs_clips else None
        parts = [part for part in (self.linker, propagator, self.history_filler) if part is not None]
        wanted = {name for part in parts for name in getattr(part, 'needs', ())}
        return wanted | {key for key in (self.refined, self.classified) if key is not None}

    def _process_clips(self, end: int) -> list[FrameResult]:
        """Propagate, link and score the clips of the next centres, up to ``end``."""
        results = []
        while self._centre < end:
            centres = range(self._centre, min(self._centre + self.frames_at_once, end))
            clips = [self._clip(centre) for centre in centres]
            for (frame, _), (masks, ids) in zip(clips, self._link_clips(clips), strict=True):
                results += self._process_clip(frame, masks, ids)
            while self._seen - len(self._ring) < self._centre - self.radius:
                self._ring.popleft()
        return results

    def _clip(self, centre: int) -> tuple[Frame, list[Frame]]:
        """The frame at the centre, and all frames of its clip."""
        start = self._seen - len(self._ring)
        near = range(max(centre - self.radius, 0), min(centre + self.radius + 1, self._seen))
        return self._ring[centre - start], [self._ring[index - start] for index in near]

    def _link_clips(
        self, clips: Sequence[tuple[Frame, list[Frame]]]
    ) -> Sequence[tuple[Tensor | None, list[int] | None]]:
        """The masks of each clip, (S, N, H, W), and its tracks' ids; nothing for a linker that needs no clips."""
        if not self.linker.needs_clips:
            return [(None, None)] * len(clips)
        assert self.propagator is not None  # looked at when the stream was made
        propagator, linker = cast(Any, self.propagator), cast(Any, self.linker)
        if takes_many(propagator, 'propagate', 'propagate_many'):
            masks = propagator.propagate_many(clips)
        else:
            masks = [propagator.propagate(*clip) for clip in clips]
        tracks = [
            ClipTracks.from_masks(max(centre - self.radius, 0), part, frame.labels)
            for centre, ((frame, _), part) in enumerate(zip(clips, masks, strict=True), self._centre)
        ]
        if takes_many(linker, 'link', 'link_many'):
            ids = linker.link_many(tracks)
        else:
            ids = [linker.link(clip) for clip in tracks]
        return list(zip(masks, ids, strict=True))

    def _check_ids(self, ids: Sequence[int | None], frame: Frame) -> None:
        if len(ids) != len(frame.labels):
            raise LinkerError(
                f'the linker {type(self.linker).__name__}: link gave {plural(len(ids), "id")} for '
                f'{plural(len(frame.labels), "detection")} of frame {self._centre}; it must give one for each'
            )

    def _process_clip(self, frame: Frame, masks: Tensor | None, ids: list[int] | None) -> list[FrameResult]:
        """Score the clip centred at the next frame; without clips, link the frame first."""
        first = max(self._centre - self.radius, 0)
        frame.rles = list(frame.rles)  # a thread may not have ended with them before
        if ids is None:
            given = self.linker.link(frame)
            self._check_ids(given, frame)
            frame, ids = _drop_losers(frame, given)
        else:
            self._check_ids(ids, frame)
        result = FrameResult(self._centre, provisional=self._provisional)
        rles = frame.rles
        if masks is not None and self.output_mask == 'propagated':
            rles = frame.paste(masks[self._centre - first])
        if self.refined in frame.codes:
            rles = frame.codes[self.refined].values
        for track_id, label, scores, rle in zip(ids, frame.labels, frame.class_scores, rles, strict=True):
            result.add(track_id, label, scores[label], rle)
            self.instances.add_scores(track_id, scores)
        if self._revises:
            cast(Any, self.linker).revise(frame, result)
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
    given = [(row, track_id) for row, track_id in enumerate(ids) if track_id is not None]
    kept = [track_id for _, track_id in given]
    return (frame if len(given) == len(ids) else frame.select([row for row, _ in given])), kept
