"""Overlapping clips of a video in progress: decoded as frames come, and kept until no later clip shares them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from maskprop.engine.config import ConfigError
from maskprop.methods.stem_seg.clip_losses import DIMS, bandwidths

Item = TypeVar('Item')


class ClipModel(Protocol):
    """What is asked of the model."""

    clip_length: int

    def decode(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """(B, 7, T, H, W) embeddings and (B, K + 2, T, H, W) class logits of levels (B, C, T, H_l, W_l)."""


class Clip(NamedTuple):
    """A decoded clip of T frames.

    Attributes:
        frames: of the video, ascending.
        maps: (7, T, h, w) float at stride 4: embeddings, bandwidths, seediness.
    """

    frames: list[int]
    maps: Tensor


class ClipQueue:
    """The clips of one video. Feed it the features of every frame in order, then call :meth:`finish`.

    Clips of L frames begin every L - ``overlap`` frames; a last one ends with the video. A video of fewer than L
    frames is one clip that begins with its first frame over and over; what it gives for the last of these counts,
    of the class logits the mean.

    Args:
        model: decodes clips. overlap: frames that neighbouring clips share; the last one more, if need be.

    Raises:
        ConfigError: clips would overlap by all of their frames.
    """

    def __init__(self, model: ClipModel, overlap: int) -> None:
        self.length = model.clip_length
        if not 0 <= overlap < self.length:
            raise ConfigError(
                f'model.clip_overlap={overlap}: expected 0 to {self.length - 1}, less than clip_length'
            )
        self.seen = 0
        self._model = model
        self._stride = self.length - overlap
        self._window: deque[tuple[Tensor, ...]] = deque(maxlen=self.length)
        self._decoded = 0  # the end of the latest clip
        self._waiting: deque[Clip] = deque()
        self._logits: dict[int, tuple[Tensor, int]] = {}  # frame -> sum over clips, their number

    def push(self, feats: tuple[Tensor, ...]) -> None:
        """Take the next frame: levels (1, C, H_l, W_l)."""
        self._window.append(feats)
        self.seen += 1
        if self.seen >= self.length and (self.seen - self.length) % self._stride == 0:
            self._decode()

    def finish(self) -> None:
        """End the video; all clips can be taken now."""
        if self._decoded < self.seen:
            self._decode()
        self._window.clear()

    def pop(self) -> Clip | None:
        """The next clip, if no later one can share its frames: 2 L frames after its first, or at the video's end.

        The video's last clip may begin up to L frames before its end, wherever that will be.
        """
        ended = not self._window
        if self._waiting and (ended or self._waiting[0].frames[0] + 2 * self.length <= self.seen):
            return self._waiting.popleft()
        return None

    def logits(self, frame: int) -> Tensor:
        """(K + 2, h, w): the class logits of a frame of the clip that was popped last, mean over its clips."""
        total, count = self._logits[frame]
        return total / count

    def forget(self) -> None:
        """Drop what no clip that waits needs, once the clip that was popped last is done."""
        first = self._waiting[0].frames[0] if self._waiting else self._decoded
        self._logits = {frame: kept for frame, kept in self._logits.items() if frame >= first}

    def _decode(self) -> None:
        """Decode the clip that ends with the latest frame."""
        frames = list(range(self.seen - len(self._window), self.seen))
        levels = zip(*padded_in_front(list(self._window), self.length), strict=True)
        output, logits = (x[0].float() for x in self._model.decode([torch.stack(level, 2) for level in levels]))
        for frame, own in zip(padded_in_front(frames, self.length), logits.unbind(1), strict=True):
            total, count = self._logits.get(frame, (0, 0))
            self._logits[frame] = total + own, count + 1
        maps = torch.cat([output[:DIMS], bandwidths(output[DIMS:-1]), output[-1:]])
        self._waiting.append(Clip(frames, maps[:, -len(frames) :].clone()))
        self._decoded = self.seen


def padded_in_front(items: Sequence[Item], length: int) -> list[Item]:
    """So many items, the first one over and over in front."""
    return [items[0]] * (length - len(items)) + list(items)
