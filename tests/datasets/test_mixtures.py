"""Stills and videos in one training: shares, class balance, resuming, several processes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import maskprop

maskprop.register_all()

from mmdet.registry import DATASETS  # noqa: E402

from maskprop.datasets import samplers  # noqa: E402
from maskprop.datasets.mixtures import MixedFrameSampler, PartSampling, block_quotas, frame_factors  # noqa: E402
from maskprop.datasets.samplers import FrameRequest  # noqa: E402
from maskprop.datasets.ytvis_json import AnnotationError  # noqa: E402


class Mixture:
    """Stands in for sets: for each, the labels that its one-frame videos show."""

    def __init__(self, *parts: list[set[int]]) -> None:
        self.parts = parts

    def part_lengths(self) -> list[int]:
        return [len(part) for part in self.parts]

    def key_frames(self) -> list[list[int]]:
        return [[0] for part in self.parts for _ in part]

    def key_frame_labels(self) -> list[list[set[int]]]:
        return [[labels] for part in self.parts for labels in part]


TWO = Mixture([{0}] * 30, [{0}] * 70)
VIDEOS_AND_STILLS = dict(parts=[dict(weight=1), dict(weight=0.25)])


def requests(sampler: MixedFrameSampler, epoch: int) -> list[FrameRequest]:
    sampler.set_epoch(epoch)
    return list(sampler)


def drawn(sampler: MixedFrameSampler, epochs: int = 1) -> list[int]:
    return [request.video for epoch in range(epochs) for request in requests(sampler, epoch)]


def test_every_set_has_its_share_of_each_hundred_samples():
    sampler = MixedFrameSampler(TWO, **VIDEOS_AND_STILLS, samples_per_epoch=250)
    videos = drawn(sampler, epochs=8)
    for start in range(0, 2000, 100):
        assert sum(video < 30 for video in videos[start : start + 100]) == 80
    parts = [video < 30 for video in videos[:200]]
    assert parts[:100] != parts[100:] and parts[:80] != [True] * 80  # mixed, another way each time


def test_within_a_set_every_frame_comes_once_before_any_comes_again():
    videos = drawn(MixedFrameSampler(TWO, **VIDEOS_AND_STILLS, samples_per_epoch=70), epochs=60)
    for members in (range(30), range(30, 100)):
        of_set = [video for video in videos if video in members]
        for start in range(0, len(of_set) - len(members), len(members)):
            assert sorted(of_set[start : start + len(members)]) == list(members)
    first, second = videos[:30], videos[30:60]
    assert first != second


def test_an_epoch_is_one_pass_through_the_first_set():
    sampler = MixedFrameSampler(TWO, **VIDEOS_AND_STILLS)
    assert len(sampler) == 38  # 30 of 80 %
    assert len(MixedFrameSampler(TWO, parts=[dict(weight=1), dict(weight=1)])) == 60


def test_one_set_without_balance_is_visited_as_a_plain_sampler_does():
    sampler = MixedFrameSampler(Mixture([{0}] * 11), seed=4)
    assert len(sampler) == 11
    for epoch in range(3):
        assert sorted(request.video for request in requests(sampler, epoch)) == list(range(11))
    assert drawn(MixedFrameSampler(Mixture([{0}] * 11), shuffle=False)) == list(range(11))


def test_order_depends_on_seed_epoch_and_position_only():
    def make(seed: int = 3) -> MixedFrameSampler:
        return MixedFrameSampler(TWO, **VIDEOS_AND_STILLS, seed=seed, samples_per_epoch=50)

    first = make()
    requests(first, 0)
    assert requests(first, 5) == requests(make(), 5) != requests(make(4), 5)
    resumed = make()
    resumed.set_epoch(5)
    resumed.start_at(20)
    assert list(resumed) == requests(make(), 5)[20:]


def test_ranks_share_the_epoch_of_one_process(monkeypatch):
    def make() -> MixedFrameSampler:
        return MixedFrameSampler(TWO, **VIDEOS_AND_STILLS, samples_per_epoch=51)

    alone = requests(make(), 2)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, 2))
        parts.append(requests(make(), 2))
    together = sorted((r for part in parts for r in part), key=lambda r: r.position)
    assert len(parts[0]) == len(parts[1]) == 26 and together[:51] == alone


def test_rare_classes_come_more_often_and_common_ones_less():
    """Class 1 in 2 % of the frames with t = .08 comes twice as often; class 0 is capped at half of its share."""
    frames = [{0}] * 80 + [{1}] * 2 + [{2}] * 18
    sampler = MixedFrameSampler(Mixture(frames), parts=[dict(repeat_threshold=0.08, cap=0.4)])
    counts = Counter()
    passes = 50
    for epoch in range(passes):
        counts.update(request.video for request in requests(sampler, epoch))
    mean = [np.mean([counts[video] for video in span]) / passes for span in (range(80), (80, 81), range(82, 100))]
    assert np.allclose(mean, [0.5, 2.0, 1.0], atol=0.03)
    assert len(sampler) == 62  # 40 + 4 + 18
    per_frame = [counts[video] for video in range(80)]
    assert min(per_frame) > 10 and max(per_frame) < 40  # no frame is left out for good


def test_factors_of_frames():
    labels = [{0}] * 96 + [{0, 1}] * 3 + [set()]
    factors = frame_factors(labels, PartSampling(repeat_threshold=0.12, cap=0.33))
    assert np.allclose(factors[:96], 0.33 / 0.99)
    assert np.allclose(factors[96:99], 2.0)  # sqrt(.12 / .03): of the rarer class
    assert factors[99] == 1
    assert frame_factors(labels, PartSampling()).tolist() == [1] * 100


def test_block_quotas():
    assert block_quotas([1, 0.75]) == [57, 43]
    assert block_quotas([1, 1, 1]) == [34, 33, 33]
    assert block_quotas([5]) == [100]
    with pytest.raises(ValueError, match='less than 1 of 100'):
        block_quotas([1, 0.001])


@pytest.mark.parametrize(
    'dataset,parts,message',
    [
        (TWO, [{}], 'parts: found 1; expected one for each of the 2 sets'),
        (TWO, [{}, dict(weight=0)], 'weight: found 0'),
        (TWO, [{}, dict(repeat_threshold=-1)], 'repeat_threshold: found -1'),
        (TWO, [{}, dict(repeat_threshold=0.1, cap=0.1)], 'cap: found 0.1'),
        (Mixture([{0}], []), [{}, {}], 'set 2 of 2 has no key frame'),
    ],
    ids=['parts', 'weight', 'threshold', 'cap', 'empty'],
)
def test_bad_arguments(dataset, parts, message):
    with pytest.raises(ValueError, match=message):
        MixedFrameSampler(dataset, parts=parts)


def part(root, file: str, pipeline: list) -> dict:
    prefix = dict(img_path='images')
    return dict(
        type='YouTubeVISJsonDataset', data_root=str(root), ann_file=file, data_prefix=prefix, pipeline=pipeline
    )


PIPELINE = [
    dict(type='SampleFramePair', max_gap=2),
    dict(
        type='TransformBroadcaster', transforms=[dict(type='LoadImageFromFile'), dict(type='LoadVideoAnnotations')]
    ),
]
PACK = dict(type='PackTrackInputs')


def test_sets_are_one_and_each_has_its_own_pipeline(tiny_set):
    small = dict(type='TransformBroadcaster', transforms=[dict(type='Resize', scale=(40, 24))])
    parts = [part(tiny_set, 'gt.json', [*PIPELINE, PACK]), part(tiny_set, 'gt.json', [*PIPELINE, small, PACK])]
    both = DATASETS.build(dict(type='ConcatVideoDataset', datasets=parts))
    alone = [DATASETS.build(cfg) for cfg in parts]
    assert both.part_lengths() == [3, 3] and len(both) == 6 and both.metainfo == alone[0].metainfo
    assert both.key_frames() == alone[0].key_frames() * 2
    assert both.key_frame_labels() == alone[0].key_frame_labels() * 2
    for request in requests(MixedFrameSampler(both, parts=[{}, {}]), 0):
        of, video = divmod(request.video, 3)
        expected = alone[of][request._replace(video=video)]
        found = both[request]
        assert np.array_equal(found['inputs'], expected['inputs'])
        assert found['inputs'].shape[-2:] == ((48, 80), (24, 40))[of]
    assert len(both[4, 0]['data_samples']) == 2


def test_sets_of_other_classes_are_refused(tiny_set, write, gt):
    gt['categories'][0]['name'] = 'fox'
    path = write(gt)
    parts = [part(tiny_set, 'gt.json', [PACK]), part(tiny_set, str(path), [PACK])]
    with pytest.raises(AnnotationError, match=r'gt.json: categories: the names are .*fox.*trained on together'):
        DATASETS.build(dict(type='ConcatVideoDataset', datasets=parts))
