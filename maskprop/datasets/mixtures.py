"""Still images and videos in one training: several sets as one, and in which shares their frames come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from mmdet.registry import DATA_SAMPLERS, DATASETS
from mmengine.dataset import BaseDataset, ConcatDataset

from maskprop.datasets.samplers import FrameRequest, SeededFrameSampler
from maskprop.datasets.ytvis_json import AnnotationError

BLOCK = 100  # samples, in which every part has its share


@DATASETS.register_module()
class ConcatVideoDataset(ConcatDataset):
    """Several ``YouTubeVISJsonDataset`` one after the other, for a training by :class:`MixedFrameSampler`.

    Args:
        datasets: their configs; each has a pipeline of its own, so that stills can be warped and videos not.

    Raises:
        AnnotationError: they have other classes than the first one.
    """

    def __init__(self, datasets: Sequence[dict | BaseDataset], **kwargs: Any) -> None:
        built = [DATASETS.build(part) if isinstance(part, Mapping) else part for part in datasets]
        first = built[0]
        for part in built[1:]:
            if part.metainfo['classes'] != first.metainfo['classes']:
                raise AnnotationError(
                    f'{part.ann_file}: categories: the names are {list(part.metainfo["classes"])} in the order of '
                    f'their ids, but {first.ann_file} has {list(first.metainfo["classes"])}; sets that are '
                    'trained on together need the same (maskprop stills writes those of a given file)'
                )
        super().__init__(built, ignore_keys=['category_ids'], **kwargs)

    def part_lengths(self) -> list[int]:
        """Videos of each set."""
        return [len(part) for part in self.datasets]

    def key_frames(self) -> list[list[int]]:
        """Of all sets; see ``YouTubeVISJsonDataset``."""
        return [frames for part in self.datasets for frames in part.key_frames()]

    def key_frame_labels(self) -> list[list[set[int]]]:
        """Of all sets; see ``YouTubeVISJsonDataset``."""
        return [labels for part in self.datasets for labels in part.key_frame_labels()]

    def __getitem__(self, index: FrameRequest | tuple[int, int] | int) -> Any:
        if isinstance(index, FrameRequest):
            part, video = self._get_ori_dataset_idx(index.video)
            return self.datasets[part][index._replace(video=video)]
        if isinstance(index, tuple):
            part, video = self._get_ori_dataset_idx(index[0])
            return self.datasets[part][video, index[1]]
        return super().__getitem__(index)


class MixedFrames(Protocol):
    """What the sampler needs of a data set; without ``part_lengths`` it is a single part."""

    def key_frames(self) -> list[list[int]]: ...
    def key_frame_labels(self) -> list[list[set[int]]]: ...


@dataclass(frozen=True)
class PartSampling:
    """How frames of one set are drawn.

    Attributes:
        weight: of the set beside the others, as 1 and .75; shares are taken in whole per cent.
        repeat_threshold: t of the repeat factor sqrt(t / share) of a class that is in fewer than this share of the
            set's key frames; 0: no repeats. LVIS has .001.
        cap: frames of a class that is in more than this share of the key frames come cap / share as often, unless
            they show a rarer class too; None: no cap.
    """

    weight: float = 1.0
    repeat_threshold: float = 0.0
    cap: float | None = None

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f'weight: found {self.weight}; expected a number above 0')
        if not 0 <= self.repeat_threshold <= 1:
            raise ValueError(f'repeat_threshold: found {self.repeat_threshold}; expected a share, 0 to 1')
        if self.cap is not None and not self.repeat_threshold < self.cap <= 1:
            raise ValueError(f'cap: found {self.cap}; expected a share above repeat_threshold, 1 at most, or None')


@DATA_SAMPLERS.register_module()
class MixedFrameSampler(SeededFrameSampler):
    """Training on several sets in given shares, or on one with its classes balanced.

    As :class:`~maskprop.datasets.samplers.SeededFrameSampler` it yields a :class:`FrameRequest` that (seed, epoch,
    position) decide, shares the epoch among processes and resumes inside it. Of each 100 samples every set has its
    share. Within a set every key frame comes once before any comes again; with class balance it comes as often
    as its factor says, on average where that is no whole number. A frame's factor is the largest of its classes.

    Args:
        dataset: A :class:`ConcatVideoDataset`, or a single ``YouTubeVISJsonDataset``.
        parts: Keys of :class:`PartSampling` for each set, in their order.
        seed, shuffle, samples_per_epoch: As of ``SeededFrameSampler``; an epoch is by default one pass through the
            first set.

    Raises:
        ValueError: a number is out of range, the sets are not as many as ``parts``, or one has no key frame.
    """

    def __init__(
        self,
        dataset: MixedFrames,
        parts: Sequence[Mapping[str, Any]] = ({},),
        seed: int | None = 0,
        shuffle: bool = True,
        samples_per_epoch: int | None = None,
    ) -> None:
        super().__init__(dataset, seed, shuffle, samples_per_epoch)
        lengths = dataset.part_lengths() if hasattr(dataset, 'part_lengths') else [len(dataset.key_frames())]
        if len(parts) != len(lengths):
            raise ValueError(f'parts: found {len(parts)}; expected one for each of the {len(lengths)} sets')
        samplings = [PartSampling(**part) for part in parts]
        self.quotas = block_quotas([sampling.weight for sampling in samplings])
        ends = np.cumsum(lengths)
        owner = np.searchsorted(ends, self.frames[:, 0], side='right')
        self.members = [np.flatnonzero(owner == part) for part in range(len(parts))]  # rows of self.frames
        for part, rows in enumerate(self.members):
            if not len(rows):
                raise ValueError(f'MixedFrameSampler: set {part + 1} of {len(parts)} has no key frame to train on')
        self.factors = [np.ones(len(rows)) for rows in self.members]
        if any(s.repeat_threshold or s.cap is not None for s in samplings):
            labels = [of_frame for video in dataset.key_frame_labels() for of_frame in video]
            self.factors = [
                frame_factors([labels[row] for row in rows], sampling)
                for rows, sampling in zip(self.members, samplings, strict=True)
            ]
        self.passes = [max(round(float(factors.sum())), 1) for factors in self.factors]  # samples of a pass
        if samples_per_epoch is None:
            self.samples_per_epoch = -(-self.passes[0] * BLOCK // self.quotas[0])

    def _frames_at(self, places: np.ndarray) -> np.ndarray:
        """(n, 2) video and frame at ascending places of the endless sequence."""
        parts, turns = self._turns_at(places)
        rows = np.empty(len(places), dtype=np.int64)
        for part, length in enumerate(self.passes):
            here = np.flatnonzero(parts == part)
            numbers, within = np.divmod(turns[here], length)
            for number, span in _runs(numbers):
                rows[here[span]] = self._pass(part, number)[within[span]]
        return self.frames[rows]

    def _turns_at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The part of each place, and how many places had this part before."""
        owners = np.repeat(np.arange(len(self.quotas)), self.quotas)  # of a block, before it is shuffled
        blocks, within = np.divmod(places, BLOCK)
        parts, turns = np.empty_like(places), np.empty_like(places)
        for block, span in _runs(blocks):
            drawn = np.random.default_rng([self.seed, len(self.quotas), block]).permutation(owners)
            before = np.empty_like(drawn)
            for part, quota in enumerate(self.quotas):
                before[drawn == part] = block * quota + np.arange(quota)
            parts[span], turns[span] = drawn[within[span]], before[within[span]]
        return parts, turns

    def _pass(self, part: int, number: int) -> np.ndarray:
        """Rows of ``self.frames`` in one pass through a part, by systematic sampling, then shuffled."""
        rows, factors = self.members[part], self.factors[part]
        rng = np.random.default_rng([self.seed, part, number])
        order = rng.permutation(len(rows)) if self.shuffle else np.arange(len(rows))
        length = self.passes[part]
        ends = np.cumsum(factors[order]) * (length / factors.sum())
        picks = np.searchsorted(ends, np.arange(length) + rng.random(), side='right')
        picks = rows[order[np.minimum(picks, len(rows) - 1)]]
        return rng.permutation(picks) if self.shuffle else picks


def _runs(numbers: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Each value of ascending numbers with the slice where it is."""
    values, starts = np.unique(numbers, return_index=True)
    for value, start, stop in zip(values.tolist(), starts, [*starts[1:], len(numbers)], strict=True):
        yield value, slice(start, stop)


def block_quotas(weights: Sequence[float]) -> list[int]:
    """How many of a block's samples each part has: in proportion, by the largest remainders, one at least.

    Raises:
        ValueError: a share is below one per cent.
    """
    exact = BLOCK * np.array(weights, dtype=np.float64) / sum(weights)
    if exact.min() < 1:
        raise ValueError(f'weights {list(weights)}: a set would have less than 1 of {BLOCK} samples; leave it out')
    quotas = np.floor(exact).astype(int)
    most = np.argsort(quotas - exact, kind='stable')[: BLOCK - quotas.sum()]
    quotas[most] += 1
    return quotas.tolist()


def frame_factors(labels: Sequence[set[int]], sampling: PartSampling) -> np.ndarray:
    """(F,) float64: how often each frame comes in a pass, by the classes that it shows; 1 without any."""
    counts: dict[int, int] = {}
    for shown in labels:
        for label in shown:
            counts[label] = counts.get(label, 0) + 1
    of_class = {}
    for label, count in counts.items():
        share = count / len(labels)
        of_class[label] = max(1.0, float(np.sqrt(sampling.repeat_threshold / share)))
        if sampling.cap is not None and share > sampling.cap:
            of_class[label] = sampling.cap / share
    return np.array([max((of_class[label] for label in shown), default=1.0) for shown in labels])
