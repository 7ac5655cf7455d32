"""Which frames come in which order, and on which process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from mmdet.registry import DATA_SAMPLERS
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler


class FrameRequest(NamedTuple):
    """A training sample, with all that its random augmentation depends on."""

    seed: int
    epoch: int
    position: int  # place in the epoch, counted over all ranks
    video: int
    frame: int


class VideoFrames(Protocol):
    """What the samplers need of a data set."""

    def key_frames(self) -> list[list[int]]:
        """For each video, the frames that a sample may be drawn for."""


@DATA_SAMPLERS.register_module()
class SeededFrameSampler(Sampler):
    """Training: every key frame once before any comes again, in an order that (seed, epoch) decide.

    Yields :class:`FrameRequest`. A request's random numbers come from (seed, epoch, position), so samples do not
    depend on the number of workers, and a training that resumes inside an epoch goes on with the samples it would
    have had. The ranks take turns: rank r of w gets positions r, r + w, r + 2w, ...

    Args:
        dataset: A :class:`~maskprop.datasets.ytvis_dataset.YouTubeVISJsonDataset`.
        seed: Of order and augmentation, equal on all ranks. None takes a random one.
        shuffle: Shuffle the frames; else they come in file order.
        samples_per_epoch: Length of an epoch over all ranks; default: all key frames. An epoch goes on where the
            last one stopped, so that with a short epoch every frame gets its turn nevertheless.

    The epoch is padded, with the frames that follow, to a multiple of the number of ranks.
    """

    def __init__(
        self,
        dataset: VideoFrames,
        seed: int | None = 0,
        shuffle: bool = True,
        samples_per_epoch: int | None = None,
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else int(seed)
        self.shuffle = shuffle
        table = _frame_table(dataset)
        self.frames = np.array([(v, f) for v, frames in enumerate(table) for f in frames], dtype=np.int64)
        if not len(self.frames):
            raise ValueError('SeededFrameSampler: the data set has no key frame to train on')
        self.samples_per_epoch = len(self.frames) if samples_per_epoch is None else samples_per_epoch
        if self.samples_per_epoch < 1:
            raise ValueError(f'samples_per_epoch: found {samples_per_epoch}; expected 1 or more, or None for all')
        self.epoch = 0
        self._start = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration is for."""
        self.epoch = epoch

    def start_at(self, samples: int) -> None:
        """Skips this rank's first samples in the next iteration (and in that one only).

        Raises:
            ValueError: The epoch has fewer samples.
        """
        if not 0 <= samples <= len(self):
            raise ValueError(f'start_at: found {samples}; an epoch has {len(self)} samples on each rank')
        self._start = samples

    def __len__(self) -> int:
        """Samples of this rank in a whole epoch."""
        return -(-self.samples_per_epoch // self.world_size)

    def __iter__(self) -> Iterator[FrameRequest]:
        start, self._start = self._start, 0
        positions = np.arange(len(self)) * self.world_size + self.rank
        frames = self._frames_at(self.epoch * self.samples_per_epoch + positions)
        requests = [
            FrameRequest(self.seed, self.epoch, int(position), int(video), int(frame))
            for position, (video, frame) in zip(positions, frames, strict=True)
        ]
        return iter(requests[start:])

    def _frames_at(self, places: np.ndarray) -> np.ndarray:
        """(n, 2) video and frame at places of the endless sequence of passes through all frames."""
        passes, within = np.divmod(places, len(self.frames))
        chosen = np.empty_like(within)
        for number in np.unique(passes):
            order: np.ndarray = np.arange(len(self.frames))
            if self.shuffle:
                order = np.random.default_rng([self.seed, int(number)]).permutation(len(self.frames))
            here = passes == number
            chosen[here] = order[within[here]]
        return self.frames[chosen]


@DATA_SAMPLERS.register_module()
class VideoFrameSampler(Sampler):
    """Test: all frames of this rank's videos, in order, as (video index, frame index).

    Videos stay whole: the longest goes first to the rank with the fewest frames so far. A rank may have none.

    Args:
        dataset: A :class:`~maskprop.datasets.ytvis_dataset.YouTubeVISJsonDataset`.
        seed: Not used; the Runner gives one to every sampler.
    """

    def __init__(self, dataset: VideoFrames, seed: int | None = None) -> None:
        self.rank, self.world_size = get_dist_info()
        table = _frame_table(dataset)
        self.videos = assign_videos([len(frames) for frames in table], self.world_size)[self.rank]
        self.indices = [(video, frame) for video in self.videos for frame in table[video]]

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.indices)


def assign_videos(lengths: list[int], ranks: int) -> list[list[int]]:
    """Ascending video indices for each rank, balanced by frames (longest first, to the least loaded rank)."""
    loads = [0] * ranks
    videos: list[list[int]] = [[] for _ in range(ranks)]
    for video in sorted(range(len(lengths)), key=lambda v: (-lengths[v], v)):
        rank = loads.index(min(loads))
        loads[rank] += lengths[video]
        videos[rank].append(video)
    return [sorted(own) for own in videos]


def _frame_table(dataset: VideoFrames) -> list[list[int]]:
    if not hasattr(dataset, 'key_frames'):
        raise TypeError(f'expected a YouTubeVISJsonDataset without a wrapper, found {type(dataset).__name__}')
    return dataset.key_frames()
