"""One video in progress: clips are decoded, clustered, stitched and their frames' masks written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from mmdet.registry import TASK_UTILS
from torch import Tensor, nn

from maskprop.engine.config import ConfigError
from maskprop.methods.stem_seg.clip_losses import DIMS, PLACE_DIMS
from maskprop.methods.stem_seg.clip_queue import Clip, ClipModel, ClipQueue
from maskprop.methods.stem_seg.clip_targets import STRIDE
from maskprop.methods.stem_seg.clustering import Clusters, SeedClustering
from maskprop.methods.stem_seg.label_instances import LabelInstances
from maskprop.methods.stem_seg.stitching import Stitcher
from maskprop.structures import FrameResult, View
from maskprop.tracking.features import FeatureStream, frames_at_once


@dataclass(frozen=True)
class ClipStreamOptions:
    """How a video is streamed.

    Attributes:
        clustering: config of what clusters the pixels of a clip; ``None``: ``SeedClustering`` as published.
        clip_overlap: see :class:`~maskprop.methods.stem_seg.clip_queue.ClipQueue`.
        enlarge: pixels are clustered at the ``'embeddings'``' fourfold size, as published for YouTube-VIS, or at
            stride 4, and the ``'labels'`` are enlarged.
        max_tracks: see :class:`~maskprop.methods.stem_seg.label_instances.LabelInstances`.
        frames_at_once: so many frames go through the backbone together; ``None``: 8 on a GPU, else 1.

    Raises:
        ConfigError: a value is unknown or out of range.
    """

    clustering: dict | None = None
    clip_overlap: int = 4
    enlarge: str = 'embeddings'
    max_tracks: int = 10
    frames_at_once: int | None = None

    def __post_init__(self) -> None:
        if self.enlarge not in ('embeddings', 'labels'):
            raise ConfigError(f"model.enlarge={self.enlarge!r}: expected 'embeddings' or 'labels'")
        for key in ('max_tracks', 'frames_at_once'):
            if (value := getattr(self, key)) is not None and value < 1:
                raise ConfigError(f'model.{key}={getattr(self, key)!r}: expected 1 or more')

    def build_clustering(self) -> Any:
        """What clusters the pixels of a clip."""
        return TASK_UTILS.build(dict(self.clustering or dict(type='SeedClustering')))


class ClipStream:
    """The state of one video: feed it every frame in order with :meth:`step`, then call :meth:`finish`.

    The class logits of a frame are averaged over its clips, and only what they say is foreground is clustered, so
    a frame is final at most 2 L - 1 frames later, of clips of L frames. Kept are the features of L frames, the
    clips that wait and the class logits of their frames at stride 4, and the labels of one clip: memory does not
    grow with the video.

    Args:
        model: decodes clips; with ``extract_feat``; in evaluation mode.
        options: see :class:`ClipStreamOptions`.

    Raises:
        ConfigError: clips would overlap by all of their frames.
    """

    def __init__(self, model: ClipModel | nn.Module, options: ClipStreamOptions) -> None:
        self.clips = ClipQueue(model, options.clip_overlap)
        self.scale = STRIDE if options.enlarge == 'embeddings' else 1
        self.clustering = options.build_clustering()
        device = next(cast(nn.Module, model).parameters(), torch.empty(0)).device
        self.frames_at_once = frames_at_once(options.frames_at_once, device)
        self.features = FeatureStream(model, batch=self.frames_at_once)
        self.stitcher = Stitcher()
        self.instances = LabelInstances(options.max_tracks)
        self._sizes: dict[int, tuple[tuple[int, int], tuple[int, int]]] = {}  # frame -> in the input, of the video
        self._finished = False

    def step(self, image: Tensor, meta: dict) -> list[FrameResult]:
        """Take the next frame.

        Args:
            image: (1, 3, H, W) float, normalised and padded to multiples of 32.
            meta: ``img_shape`` and ``ori_shape`` of the frame.

        Returns:
            the frames whose masks became final, in order; their classes and scores are provisional.

        Raises:
            RuntimeError: the video was finished.
        """
        self._check_open()
        return self._push(self.features.step(image, meta))

    def step_chunk(self, images: Tensor, metas: Sequence[dict]) -> list[FrameResult]:
        """:meth:`step` for F frames: images (F, 3, H, W), F metas."""
        self._check_open()
        return self._push(self.features.step_chunk(images, metas))

    @torch.no_grad()
    def finish(self) -> list[FrameResult]:
        """End the video; the remaining frames."""
        results = self._push(self.features.finish())
        self.clips.finish()
        self._finished = True
        return results + self._cluster()

    def _check_open(self) -> None:
        if self._finished:
            raise RuntimeError('the video was finished; model.start_video() begins another')

    def video_instances(self) -> LabelInstances:
        """The whole video's instances, after :meth:`finish`.

        Raises:
            RuntimeError: before it.
        """
        if not self._finished:
            raise RuntimeError('call finish() first: frames are still open')
        return self.instances

    @torch.no_grad()
    def _push(self, views: Sequence[View]) -> list[FrameResult]:
        results = []
        for view in views:
            meta = view.meta
            self._sizes[self.clips.seen] = tuple(meta['img_shape'][:2]), tuple(meta['ori_shape'][:2])
            self.clips.push(view.feats)
            results += self._cluster()
        return results

    def _cluster(self) -> list[FrameResult]:
        """Cluster and stitch the clips that are complete; their frames that no clip had before are final."""
        results = []
        while (clip := self.clips.pop()) is not None:
            foreground = torch.stack([self._foreground(frame) for frame in clip.frames])
            labels, _ = cluster_clip(self.clustering, clip, foreground, self.stitcher.next_label)
            fresh, _ = self.stitcher.add(clip.frames, labels)
            results += [self._finalize(frame, own) for frame, own in fresh.items()]
            self.clips.forget()
        return results

    def _foreground(self, frame: int) -> Tensor:
        """(H, W) bool at the size of the clustering: where the probability is above a half."""
        return enlarge(self.clips.logits(frame)[-1:], self.scale)[0] > 0

    def _finalize(self, frame: int, labels: Tensor) -> FrameResult:
        shape, size = self._sizes.pop(frame)
        logits = self.clips.logits(frame)[1:-1]
        return self.instances.add_labels(labels, logits, shape, size, STRIDE // self.scale)


def cluster_clip(
    clustering: SeedClustering, clip: Clip, foreground: Tensor, first: int
) -> tuple[Tensor, Clusters]:
    """Cluster the foreground of a clip's frames together.

    Args:
        clustering: called as a :class:`~maskprop.methods.stem_seg.clustering.SeedClustering` is.
        clip: of T frames, h x w cells.
        foreground: (T, H, W) bool, of the same size or a multiple of it; embeddings, bandwidths and seediness are
            enlarged to it bilinearly.
        first: label of the first cluster.

    Returns:
        (T, H, W) long: 0 where no foreground is, -1 where a pixel is of no cluster; the clusters of the pixels,
        frame by frame.
    """
    scale = foreground.shape[-1] // clip.maps.shape[-1]
    frames = zip(clip.maps.unbind(1), foreground, strict=True)
    pixels = torch.cat([enlarge(maps, scale)[:, mask] for maps, mask in frames], 1)  # [7, P]
    embeddings, widths, seediness = pixels.split((DIMS, PLACE_DIMS, 1))
    clusters = clustering(embeddings.T, widths.T, seediness[0], first)
    labels = torch.zeros(foreground.shape, dtype=torch.long, device=foreground.device)
    labels[foreground] = clusters.labels
    return labels, clusters


def enlarge(maps: Tensor, scale: int) -> Tensor:
    """(C, h, w) to (C, h scale, w scale), bilinearly."""
    if scale == 1:
        return maps
    return F.interpolate(maps[None], scale_factor=scale, mode='bilinear', align_corners=False)[0]
