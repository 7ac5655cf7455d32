"""What the parts of a model ask of each other. A class that has these methods needs no base class.

Methods that do for several what another does for one are optional, and faster. A subclass that changes the latter
alone is asked one by one (:func:`~maskprop.structures.many.takes_many`).

Shapes: B samples or frames, N instances, S frames of a clip, C channels, H x W pixels of the network's input or,
of masks, cells of the propagation stride.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from mmdet.structures import DetDataSample, TrackDataSample
from torch import Tensor

from maskprop.structures.carried_masks import CarriedMasks
from maskprop.structures.clip_tracks import ClipTracks
from maskprop.structures.detections import Detections
from maskprop.structures.frame import Frame
from maskprop.structures.frame_result import FrameResult
from maskprop.structures.view import View


@runtime_checkable
class FrameDetector(Protocol):
    """Instance segmentation of single frames, on features that are computed elsewhere; B frames at once.

    Attributes:
        mask_threshold: from which probability on a pixel of a pasted mask is foreground.
    """

    mask_threshold: float

    def loss(self, feats: tuple[Tensor, ...], samples: Sequence[DetDataSample]) -> tuple[dict, list[Tensor]]:
        """Losses by name, and the proposals of each frame.

        Args:
            feats: levels of the FPN, each (B, C, H_l, W_l).
            samples: B samples with ``gt_instances``: ``bboxes``, ``labels``, ``masks``.

        Returns:
            scalars by name; B tensors (P, 4) float, boxes in pixels of the network's input.
        """

    def propose(self, feats: tuple[Tensor, ...], metas: Sequence[dict]) -> list[Tensor]:
        """The proposals alone, as in training; arguments and shapes as of :meth:`loss` and :meth:`detect`."""

    def detect(self, feats: tuple[Tensor, ...], metas: Sequence[dict]) -> list[Detections]:
        """What is in B frames.

        Args:
            feats: levels of the FPN, each (B, C, H_l, W_l).
            metas: B dicts with ``img_shape``.
        """

    def masks_at(
        self, feats: tuple[Tensor, ...], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> list[Tensor]:
        """Soft masks at given boxes, wherever they come from.

        Args:
            feats: levels of the FPN, each (B, C, H_l, W_l).
            boxes: B tensors (N_b, 4) float in pixels of the network's input. labels: B tensors (N_b,) long.

        Returns:
            B tensors (N_b, m, m) float32 in [0, 1].
        """


class FramePairs(Protocol):
    """A batch of B pairs of frames as heads see it in training; everything is computed at most once.

    The key frame of a pair is t, the other one t + delta. What has an entry for each frame has the two frames of a
    pair side by side: index 2 b + f.

    Attributes:
        feats: levels of the FPN, each (F B, C, H_l, W_l), the F frames of a sample side by side; F is 2 for pairs.
        samples: F B samples with ``gt_instances``: ``bboxes`` in pixels of the network's input, ``labels``,
            ``masks``, ``instances_ids``.
        images: (B, 3, H, W) float, the key frames, normalised and padded.
        inputs: (B, F, 3, H, W) float, all frames; F is 2 unless all heads take other numbers (``trains_on``).
    """

    feats: tuple[Tensor, ...]
    samples: Sequence[DetDataSample]
    images: Tensor
    inputs: Tensor

    @property
    def input_shape(self) -> tuple[int, int]:
        """(height, width) of the padded input in pixels."""

    @property
    def key_feats(self) -> tuple[Tensor, ...]:
        """Levels of the key frames, each (B, C, H_l, W_l)."""

    @property
    def keys(self) -> Sequence[DetDataSample]:
        """B samples of the key frames."""

    @property
    def others(self) -> Sequence[DetDataSample]:
        """B samples of the other frames."""

    @property
    def proposals(self) -> list[Tensor]:
        """The detector's proposals of the key frames: B tensors (P, 4) float in pixels of the network's input."""

    def masks_at(self, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Soft masks of the key frames' objects at given boxes: B tensors (N_b, 4) to B tensors (N_b, m, m)."""

    def true_masks(self, stride: int) -> list[Tensor]:
        """Ground-truth masks of all 2 B frames at a stride, each (N_f, H, W) float of 0 and 1."""

    def matched_masks(self, stride: int) -> list[Tensor]:
        """Masks of the key frames' objects in the other frames, B tensors (N_b, H, W); 0 where absent."""

    def predicted_masks(self, stride: int, detach: bool = True) -> list[Tensor]:
        """The detector's soft masks at the key frames' ground-truth boxes, B tensors (N_b, H, W) in [0, 1].

        Args:
            stride: pixels of a cell. detach: no gradient goes into the detector.
        """


@runtime_checkable
class VideoHead(Protocol):
    """A module with weights that joins frames: under the key ``NAME_head`` of a ``VideoMaskRCNN``.

    ``joins_frames = False`` says that it trains on key frames alone, and that its losses do not reach the
    features. ``trains_on`` lists the numbers of frames of a sample that it takes; (2,) by default.
    ``reads_features = False`` says that its loss does not look at ``FramePairs.feats``.
    A head that codes several frames faster than one by one has ``encode_batch(feats, views, instances)``, with
    levels of the FPN of all B frames, B views and B ``Detections``, which gives a list of B codes.
    """

    def encode(self, view: View, instances: Detections) -> Any:
        """What is computed once for each frame at test, and kept in ``Frame.codes`` under the head's key.

        Args:
            view: the frame's features, image and meta.
            instances: N of the frame, in pixels of the network's input.

        Returns:
            anything; :class:`~maskprop.structures.frame.PerInstance` if it has an entry for each instance; None
            for nothing.
        """

    def loss(self, pairs: FramePairs) -> dict[str, Tensor]:
        """Losses by name, scalars. Together they reach every parameter, or distributed training waits for it."""


class Propagator(Protocol):
    """Carries masks of one frame to others.

    One that carries several frames' masks faster than one by one has ``propagate_many(clips)``, with a list of
    (source, targets), which gives a list of what :meth:`propagate` does.

    Attributes:
        needs: keys of ``Frame.codes`` that it reads, and ``'image'`` for ``Frame.image``; none by default.
    """

    needs: Collection[str]

    def propagate(self, source: Frame, targets: Sequence[Frame]) -> Tensor:
        """(S, N, H, W) float in [0, 1]: the soft masks of the source's N instances in S frames in video order."""


class ObjectTracker(Protocol):
    """The masks of M objects carried through one video, frame by frame, on the codes of a head.

    Attributes:
        ids: of the objects, from 1, in the order in which they began.
    """

    ids: list[int]

    def step(self, code: Any) -> CarriedMasks:
        """Carry the objects, one at least, into the next frame."""

    def begin(self, code: Any, masks: Tensor, ids: Sequence[int]) -> None:
        """New objects in the frame of the latest step, or in the video's first frame; later ones lie on top.

        Args:
            code: of that frame. masks: (N, h, w) soft or bool, of the network's whole input at any stride.
            ids: N new ones.
        """

    def refresh(self, code: Any, masks: Tensor, ids: Sequence[int]) -> None:
        """Put other masks in place of the latest ones of some objects; arguments as of :meth:`begin`."""

    def forget(self, ids: Sequence[int]) -> None:
        """End some objects."""


@runtime_checkable
class ObjectHead(Protocol):
    """A :class:`VideoHead` that carries objects through a video: FEELVOS, OSMN."""

    def start_objects(self) -> ObjectTracker:
        """The objects of a new video."""


class Linker(Protocol):
    """Gives ids to the detections of each frame, or to the tracks of each clip. One linker serves one video.

    A linker that decides at the end of the video gives provisional ids and has a method ``finish() -> dict[int,
    int | None]``, called once after the last frame: the final id of each provisional one; those left out keep
    theirs. Tracks that get the same id are joined, and those that get None are no result. A linker whose state is
    made by a head has ``use_heads(heads)``, called once before the first frame. One that changes masks or adds
    instances has ``revise(frame, result)``, called when the result has the frame's detections, those without an id
    left out. One that links several clips faster than one by one has ``link_many(clips)``, with the next ones in
    order, which gives a list of what :meth:`link` does.

    Attributes:
        needs_clips: it links the clips' tracks, not the frames' detections.
        needs: as of :class:`Propagator`.
    """

    needs_clips: bool
    needs: Collection[str]

    def link(self, frame: Frame | ClipTracks) -> list[int | None]:
        """N ids, from 1; None for a detection that is left out of the result (not of a clip's tracks)."""


class FrameFiller(Protocol):
    """Adds what the detector missed to each frame, right after linking.

    Attributes:
        needs: as of :class:`Propagator`.
    """

    needs: Collection[str]

    def step(self, frame: Frame, result: FrameResult) -> None:
        """Add instances to the result of the next frame; the frame's instances are those of the result."""


class VideoInstancesLike(Protocol):
    """The instances of a whole video."""

    def to_results(self, video_id: int, category_ids: Sequence[int]) -> list[dict]:
        """Results in the YouTube-VIS format."""


class Stream(Protocol):
    """The state of one video in progress.

    One that computes several frames together says how many as ``frames_at_once``: a :meth:`step_chunk` of so many
    frames copies least.
    """

    def step(self, image: Tensor, meta: dict) -> list[FrameResult]:
        """Take the next frame, (1, 3, H, W); the frames that became final, in order."""

    def step_chunk(self, images: Tensor, metas: Sequence[dict]) -> list[FrameResult]:
        """:meth:`step` for F frames, (F, 3, H, W) and F metas."""

    def finish(self) -> list[FrameResult]:
        """End the video; the remaining frames."""

    def video_instances(self) -> VideoInstancesLike:
        """The whole video's instances, after :meth:`finish`."""


class VideoModel(Protocol):
    """All that loops, sessions and tools ask of a model."""

    def loss(self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs: Any) -> Mapping[str, Tensor]:
        """Losses of a batch.

        Args:
            inputs: (B, F, 3, H, W) float, normalised. data_samples: B samples of F frames.
        """

    def start_video(self, **overrides: Any) -> Stream:
        """A new video."""
