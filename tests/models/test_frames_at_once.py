"""``frames_at_once``: several frames of a video together give what they give one by one."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import pycocotools.mask as mask_utils
import pytest
import torch
from mmengine.config import Config
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

from clip_profile import WaitCounter, forms_of_a_gpu

from maskprop.models import batched_boxes
from maskprop.models.frame_detector import TwoStageFrameDetector
from maskprop.structures import join_features, takes_many
from tests.models.builders import (
    ATTENTION,
    CLASSES,
    HEIGHT,
    SAMPLER,
    TRACK,
    WIDTH,
    build_model,
    make_batch,
    make_detections,
    view_of,
)

META = make_batch(([1], [1]))[1][0].video_data_samples[0].metainfo
REFINEMENT = dict(type='MaskRefinementHead', patch_size=32, channels=6, num_blocks=2)


def objects_head(method: str, **options) -> tuple[str, dict]:
    """A model whose head carries objects through a video, and none of whose code looks at the detector."""
    head = dict(Config.fromfile(f'configs/{method}/{method}_tiny_synthetic.py').model.propagation_head, **options)
    return 'mask_rcnn', dict(propagation_head=head, linker=dict(type='PropagatedMaskLinker', threshold=0.1))


def lively(model: nn.Module) -> nn.Module:
    """The model with a random detector that finds different things in different frames."""
    torch.manual_seed(3)
    detector = model.detector
    heads = detector.roi_head.bbox_head
    for head in heads if isinstance(heads, nn.ModuleList) else [heads]:
        nn.init.normal_(head.fc_cls.weight, std=0.5)
        nn.init.normal_(head.fc_reg.weight, std=0.05)
    nn.init.normal_(detector.rpn_head.rpn_cls.weight, std=0.3)
    nn.init.normal_(detector.rpn_head.rpn_reg.weight, std=0.05)
    detector.rpn_head.test_cfg.nms_pre = 60  # fewer than the finest levels have
    detector.roi_head.test_cfg.update(score_thr=0.3, max_per_img=9)
    return model.eval()


def images_of(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=['a call for each frame', 'a call for several', 'a call for some'])
def nms_calls(request, monkeypatch):
    """How frames are spread over calls of NMS: as on a CPU, as on a GPU, or with room for few boxes."""
    chunks = batched_boxes._chunks
    if request.param != 'a call for each frame':
        monkeypatch.setattr(batched_boxes, '_chunks', lambda *args: chunks(*args[:-1], True))
    if request.param == 'a call for some':
        monkeypatch.setattr(batched_boxes, 'BOXES_AT_ONCE', 150)


@pytest.mark.parametrize(('kind', 'smallest'), [('mask_rcnn', 0), ('mask_rcnn', 9), ('htc', 0)])
@torch.no_grad()
def test_boxes_are_those_of_mmdet(kind, smallest, nms_calls, monkeypatch):
    model = lively(build_model(kind))
    model.detector.rpn_head.test_cfg.min_bbox_size = smallest
    detector = TwoStageFrameDetector(model.detector)
    feats = model.detector.extract_feat(images_of(4))
    metas = [dict(META, img_shape=(HEIGHT - 7, WIDTH - 5))] * 4
    assert batched_boxes.is_supported(model.detector, metas)
    found = detector.detect(feats, metas)
    monkeypatch.setattr(batched_boxes, 'is_supported', lambda *_: False)
    expected = detector.detect(feats, metas)
    assert len({len(frame.boxes) for frame in expected}) > 1 or len(expected[0].boxes) == 9
    assert min(len(frame.boxes) for frame in expected) > 2
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.labels.tolist() == theirs.labels.tolist()
        for name in ('boxes', 'scores', 'roi_masks'):
            torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_frames_in_which_nothing_is_found(nms_calls):
    model = lively(build_model())
    model.detector.roi_head.test_cfg.score_thr = 2.0
    found = TwoStageFrameDetector(model.detector).detect(model.detector.extract_feat(images_of(2)), [META] * 2)
    assert [len(frame.boxes) for frame in found] == [0, 0]
    model.detector.rpn_head.test_cfg.min_bbox_size = 1000  # no proposal
    found = TwoStageFrameDetector(model.detector).detect(model.detector.extract_feat(images_of(2)), [META] * 2)
    assert [len(frame.boxes) for frame in found] == [0, 0]


@pytest.mark.parametrize('most', [-1, 0, 1])
@torch.no_grad()
def test_limits_of_detections_are_mmdet_s(most, monkeypatch):
    """0 is no limit, as -1 is."""
    model = lively(build_model())
    model.detector.roi_head.test_cfg.max_per_img = most
    detector, feats = TwoStageFrameDetector(model.detector), model.detector.extract_feat(images_of(2))
    found = detector.detect(feats, [META] * 2)
    monkeypatch.setattr(batched_boxes, 'is_supported', lambda *_: False)
    for ours, theirs in zip(found, detector.detect(feats, [META] * 2), strict=True):
        assert ours.labels.tolist() == theirs.labels.tolist()
        assert len(ours.boxes) == 1 if most == 1 else len(ours.boxes) > 9


@pytest.mark.parametrize('some', [False, True])
@pytest.mark.parametrize('most', [-1, 0, 3])
def test_nms_of_frames_is_mmcv_s_of_each(nms_calls, most, some):
    """Equal scores, frames without boxes and groups with few among them; all boxes, or those that are valid."""
    from mmcv.ops.nms import batched_nms

    generator = torch.Generator().manual_seed(0)
    counts = [40, 0, 90, 1, 70, 0]
    corner = torch.rand(sum(counts), 2, generator=generator) * 60
    boxes = torch.cat([corner, corner + 5 + 30 * torch.rand(sum(counts), 2, generator=generator)], 1)
    scores = torch.randint(0, 30, (sum(counts),), generator=generator) / 30
    groups = torch.randint(0, 3, (sum(counts),), generator=generator)
    frames = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    valid = torch.rand(len(boxes), generator=generator) < 0.6 if some else torch.ones(len(boxes), dtype=torch.bool)
    boxes[~valid] *= 1.5  # in mmcv's way boxes that are left out don't count for how far groups are apart
    rows, found = batched_boxes.nms_of_frames(
        boxes, scores, groups, frames, len(counts), 0.4, most, valid if some else None, counts if some else None
    )
    for frame, ours in enumerate(rows.split(found)):
        own = (valid & (frames == frame)).nonzero()[:, 0]
        cfg = dict(type='nms', iou_threshold=0.4)
        kept = batched_nms(boxes[own], scores[own], groups[own], cfg)[1] if len(own) else own
        assert ours.tolist() == own[kept][: most if most >= 0 else None].tolist()
    assert 0 < len(rows) < len(boxes) or most == 0


@pytest.mark.parametrize(
    'change',
    [
        lambda detector, _: detector.roi_head.test_cfg.nms.update(score_threshold=0.1),
        lambda detector, _: detector.rpn_head.test_cfg.nms.update(class_agnostic=True),
        lambda _, metas: metas.__setitem__(1, dict(META, img_shape=(HEIGHT, WIDTH - 8))),
    ],
    ids=['nms of boxes', 'nms of proposals', 'sizes'],
)
@torch.no_grad()
def test_what_is_not_plain_is_left_to_mmdet(change, monkeypatch):
    model, metas = lively(build_model()), [META, META]
    assert batched_boxes.is_supported(model.detector, metas)
    change(model.detector, metas)
    assert not batched_boxes.is_supported(model.detector, metas)
    monkeypatch.setattr(batched_boxes, 'predict_boxes', None)
    found = TwoStageFrameDetector(model.detector).detect(model.detector.extract_feat(images_of(2)), metas)
    assert len(found) == 2


STREAMS = {
    'clips': ('mask_rcnn', dict(clip_radius=2)),
    'filled': ('htc', dict(clip_radius=1, fill=True)),
    'propagated masks': ('mask_rcnn', dict(clip_radius=2, output_mask='propagated')),
    'aggregated': ('mask_rcnn', dict(clip_radius=2, aggregator=dict(SAMPLER, window=1, num_support=3))),
    'refined': ('mask_rcnn', dict(clip_radius=1, refinement_head=REFINEMENT)),
    'tracker': ('mask_rcnn', dict(track_head=TRACK, linker=dict(type='MaskTrackLinker'))),
    'history': (
        'mask_rcnn',
        dict(track_head=TRACK, attention_head=ATTENTION, linker=dict(type='MaskTrackLinker'), history_fill=dict()),
    ),
    'copied masks': ('mask_rcnn', dict(clip_radius=1, propagator=dict(type='CopyPropagator'))),
}
OBJECTS = {
    'feelvos': objects_head('feelvos'),
    'osmn': objects_head('osmn', guide_size=32),
    'osmn, resized': objects_head('osmn', guide_size=32, input_size=(40, 60)),
}


def run(model: nn.Module, images: torch.Tensor, frames_at_once: int) -> tuple[list, list]:
    stream = model.start_video(frames_at_once=frames_at_once)
    results = [r for image in images for r in stream.step(image[None], META)]
    results += stream.finish()
    return results, stream.video_instances().to_results(1, list(range(CLASSES)))


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=pytest.mark.slow if n in ('aggregated', 'refined') else []) for n in STREAMS]
)
@torch.no_grad()
def test_results_are_those_of_one_by_one(name):
    kind, options = STREAMS[name]
    model = lively(build_model(kind, **options))
    images = images_of(3).repeat(3, 1, 1, 1) + 0.3 * images_of(9, seed=1)  # something to link
    expected, expected_tracks = run(model, images, 1)
    assert sum(len(result.ids) for result in expected) > 9
    for count, forms in ((2, nullcontext), (4, forms_of_a_gpu), (16, forms_of_a_gpu)):
        with forms():
            found, tracks = run(model, images, count)
        assert [result.frame_index for result in found] == list(range(len(images)))
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours.ids, ours.labels, ours.filled) == (theirs.ids, theirs.labels, theirs.filled)
            assert ours.scores == pytest.approx(theirs.scores, abs=1e-5)
            for mask, other in zip(ours.masks, theirs.masks, strict=True):
                # a pixel at the threshold may be of either side
                assert abs(int(mask_utils.area(mask)) - int(mask_utils.area(other))) <= 2
        for ours, theirs in zip(tracks, expected_tracks, strict=True):
            assert (ours['track_id'], ours['category_id']) == (theirs['track_id'], theirs['category_id'])
            assert ours['score'] == pytest.approx(theirs['score'], abs=1e-5)


@pytest.mark.parametrize('name', OBJECTS)
@torch.no_grad()
def test_codes_of_frames_at_once_are_those_of_each(name):
    """Not the masks of a video: each is made of the last, so that one pixel at the threshold moves others."""
    kind, options = OBJECTS[name]
    model = build_model(kind, **options).eval()
    head = model.propagation_head
    assert takes_many(head, 'encode', 'encode_batch')
    views = [view_of(model, image[None]) for image in images_of(3)]
    found = head.encode_batch(join_features(views), views, [None] * 3)
    for ours, view in zip(found, views, strict=True):
        theirs = head.encode(view, None)
        assert ours.size == theirs.size
        for part, other in zip(_tensors(ours), _tensors(theirs), strict=True):
            assert part.shape == other.shape and part.dtype == other.dtype
            torch.testing.assert_close(part, other, atol=1e-5, rtol=1e-5)
            assert other.float().std() > 0


def _tensors(code) -> list[torch.Tensor]:
    parts = [_tensors(x) if isinstance(x, tuple) and not hasattr(x[0], 'bit_length') else [x] for x in code]
    return [x for part in parts for x in part if isinstance(x, torch.Tensor)]


@torch.no_grad()
def test_the_batch_is_what_runs(monkeypatch):
    """Each batch goes once through the backbone, the detector and the head's encoding."""
    model = lively(build_model(clip_radius=2))
    sizes: dict[str, list[int]] = {'backbone': [], 'boxes': [], 'head': []}
    model.detector.backbone.register_forward_hook(lambda _, inputs, __: sizes['backbone'].append(len(inputs[0])))
    predict, encode = batched_boxes.predict_boxes, model.propagation_head.encode_features

    def predict_and_count(detector, feats, *args, **extra):
        sizes['boxes'].append(len(feats[0]))
        return predict(detector, feats, *args, **extra)

    def encode_and_count(feats):
        sizes['head'].append(len(feats[0]))
        return encode(feats)

    monkeypatch.setattr(batched_boxes, 'predict_boxes', predict_and_count)
    monkeypatch.setattr(model.propagation_head, 'encode_features', encode_and_count)
    run(model, images_of(10), 4)
    assert sizes == {'backbone': [4, 4, 2], 'boxes': [4, 4, 2], 'head': [4, 4, 2]}


@pytest.mark.parametrize('options', [{}, dict(merge_iou=0.05), dict(refinement_head=REFINEMENT)], ids=str)
@torch.no_grad()
def test_waits_of_a_batch_do_not_grow_with_its_frames(options):
    """Sizes that the next step needs (proposals, levels, candidates, detections), then the numbers themselves."""
    model = lively(build_model(clip_radius=2, **options))
    counts = []
    for at_once in (2, 6):
        stream = model.start_video(frames_at_once=at_once)
        views = stream.features.step_chunk(images_of(12), [META] * 12)
        stream._push_views(views[:6])
        with forms_of_a_gpu(), WaitCounter() as waits:
            stream._push_views(views[6 : 6 + at_once])
        counts.append(waits.calls)
    assert counts[0] == counts[1] == dict(new_tensor=4, nms=2, tolist=4, nonzero=1, cpu=2)  # mmdet's: new_tensor


@torch.no_grad()
def test_linkers_get_lists_of_masks():
    """pycocotools takes no other sequence."""

    stream = lively(build_model()).start_video(linker=dict(type='BoxIoULinker'), frames_at_once=3)
    kinds, link = set(), stream.linker.link
    stream.linker.link = lambda frame: kinds.add(type(frame.rles)) or link(frame)
    with forms_of_a_gpu():
        for image in images_of(6):
            stream.step(image[None], META)
    assert kinds == {list}


def test_one_at_a_time_on_a_cpu_and_by_key():
    model = build_model().eval()
    assert model.start_video().frames_at_once == 1
    assert build_model(frames_at_once=3).eval().start_video().frames_at_once == 3
    with pytest.raises(ValueError, match='frames_at_once=0: expected 1 or more'):
        build_model(frames_at_once=0)
    with pytest.raises(ValueError, match='model.backbone_batch is now model.frames_at_once'):
        build_model(backbone_batch=2)


@torch.no_grad()
def test_a_subclass_that_changes_one_is_asked_one_by_one():
    """Not its parent's form of several."""
    model = lively(build_model(clip_radius=1))

    class OwnHead(type(model.propagation_head)):
        def encode(self, view, instances):
            asked.append('encode')
            return super().encode(view, instances)

        def propagate(self, source, targets):
            asked.append('propagate')
            return super().propagate(source, targets)

    asked: list[str] = []
    model.propagation_head.__class__ = OwnHead
    stream = model.start_video(frames_at_once=4)
    link = stream.linker.link
    stream.linker.link = lambda clip: asked.append('link') or link(clip)
    for image in images_of(4):
        stream.step(image[None], META)
    stream.finish()
    assert {name: asked.count(name) for name in asked} == dict(encode=4, propagate=4, link=4)
    assert takes_many(build_model().propagation_head, 'encode', 'encode_batch')
    assert not takes_many(object(), 'encode', 'encode_batch')


@torch.no_grad()
def test_duplicates_are_merged_in_each_frame():
    """Also where frames before it have other numbers of detections, or none."""
    model = build_model(merge_iou=0.05).eval()
    views = [view_of(model, image[None]) for image in images_of(4)]
    found = [make_detections(count, seed) for seed, count in enumerate((5, 0, 6, 3))]
    encoder = model.frame_encoder
    frames = encoder.from_batch(views, join_features(views), found)
    expected = [encoder.from_detections(*pair) for pair in zip(views, found, strict=True)]
    assert [len(frame) for frame in frames] != [len(detections.boxes) for detections in found]
    for ours, theirs in zip(frames, expected, strict=True):
        assert (ours.class_scores, ours.rles) == (theirs.class_scores, theirs.rles)
        torch.testing.assert_close(ours.boxes, theirs.boxes)
        torch.testing.assert_close(ours.masks, theirs.masks)
