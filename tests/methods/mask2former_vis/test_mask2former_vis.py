"""Mask2Former-VIS on a stream: mmdet's result of a clip, linked over clips, with bounded state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from pycocotools import mask as mask_utils

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402
from mmdet.structures import DetDataSample, TrackDataSample  # noqa: E402

from maskprop.engine.config import load_config  # noqa: E402
from maskprop.engine.num_classes import fit_num_classes  # noqa: E402
from maskprop.engine.weights import load_weights  # noqa: E402
from maskprop.methods.mask2former_vis import DecodedFrames, Mask2FormerStream, Mask2FormerStreamOptions  # noqa: E402
from maskprop.zoo import find_model, list_models  # noqa: E402
from tests.models.builders import CLASSES, make_batch  # noqa: E402

TINY = 'configs/mask2former_vis/mask2former_vis_tiny_synthetic.py'
CONFIGS = sorted(Path('configs/mask2former_vis').glob('*.py'))
SIZE, ORIGINAL = (64, 96), (50, 70)
SHOWN = (60, 84)  # of the input; the rest is padding


def build(config=TINY, **changes) -> torch.nn.Module:
    torch.manual_seed(0)
    cfg = Config.fromfile(config)
    cfg.merge_from_dict({f'model.{key}': value for key, value in changes.items()})
    fit_num_classes(cfg.model, CLASSES)
    model = MODELS.build(cfg.model)
    torch.nn.init.normal_(model.track_head.cls_embed.weight, std=0.02)  # queries of several classes
    return model.eval()


def metas(count: int) -> list[dict]:
    common = dict(img_shape=SHOWN, ori_shape=ORIGINAL, scale_factor=(1.2, 1.2), batch_input_shape=SIZE)
    return [dict(common, frame_id=t, video_length=count) for t in range(count)]


def video(count: int) -> torch.Tensor:
    """(count, 3, H, W): a scene that moves."""
    torch.manual_seed(1)
    scene = torch.nn.functional.interpolate(torch.randn(1, 3, 20, 24), scale_factor=8, mode='bicubic')[0]
    return torch.stack([scene[:, t : t + SIZE[0], 2 * t : 2 * t + SIZE[1]] for t in range(count)])


@torch.no_grad()
def mmdets_results(config, model: torch.nn.Module, images: torch.Tensor) -> list[tuple]:
    """(label, score, masks of all frames) of mmdet's own class with the same weights."""
    cfg = Config.fromfile(config)
    fit_num_classes(cfg.model, CLASSES)
    head = cfg.model.track_head
    head.pixel_decoder.type = 'MSDeformAttnPixelDecoder'
    head.loss_cls.class_weight = [1.0] * (CLASSES + 1)
    reference = MODELS.build(
        dict(
            type='Mask2FormerVideo',
            backbone=cfg.model.backbone,
            track_head=head,
            data_preprocessor=cfg.model.data_preprocessor,
        )
    ).eval()
    reference.load_state_dict(model.state_dict())
    sample = TrackDataSample()
    sample.video_data_samples = [DetDataSample(metainfo=meta) for meta in metas(len(images))]
    frames = [f.pred_track_instances for f in reference.predict(images[None], [sample])[0]]
    masks = torch.stack([frame.masks for frame in frames], 1)
    return sorted(
        zip(frames[0].labels.tolist(), frames[0].scores.tolist(), masks, strict=True), key=lambda r: r[:2]
    )


def our_results(model: torch.nn.Module, images: torch.Tensor, **overrides) -> list[tuple]:
    stream = model.start_video(**overrides)
    given = stream.step_chunk(images, metas(len(images))) + stream.finish()
    assert [result.frame_index for result in given] == list(range(len(images)))
    results = []
    for result in stream.video_instances().to_results(1, range(CLASSES)):
        shown = [
            torch.zeros(ORIGINAL, dtype=torch.bool)
            if rle is None
            else torch.from_numpy(mask_utils.decode(rle)).bool()
            for rle in result['segmentations']
        ]
        results.append((result['category_id'], result['score'], torch.stack(shown)))
    return sorted(results, key=lambda r: r[:2])


@pytest.mark.parametrize('count', [1, 4, 7])
def test_a_video_no_longer_than_a_clip_has_mmdets_result(count):
    model, images = build(), video(count)
    expected = [row for row in mmdets_results(TINY, model, images) if row[2].any()]
    found = our_results(model, images)
    assert len(expected) >= 5 and len({row[0] for row in expected}) >= 2
    assert [row[0] for row in found] == [row[0] for row in expected]
    assert [row[1] for row in found] == pytest.approx([row[1] for row in expected], abs=1e-6)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours[2], theirs[2])


def class_logits(which: int, call: int) -> torch.Tensor:
    logits = torch.tensor([0.0, 0.0, 0.0, -9.0])
    logits[which] = 2 - which + call / 10
    return logits


class TwoObjects:
    """Stands in for the network: two objects, queries 5 and 2 of the first clip, 1 and 6 of the next, ..."""

    def __init__(self, count: int) -> None:
        self.calls = 0
        self.masks = torch.full((count, 2, 16, 24), -8.0)
        for t in range(count):
            self.masks[t, 0, 2:8, t % 9 : t % 9 + 8] = 8
            self.masks[t, 1, 9:15, 12 - t % 9 : 20 - t % 9] = 8
        self.decoded = 0

    def decode_frames(self, images: torch.Tensor) -> DecodedFrames:
        """The frame's number as its feature."""
        self.decoded += len(images)
        return DecodedFrames(images[:, :1, :1, :1], [])

    def decode_clip(self, frames: DecodedFrames) -> tuple[torch.Tensor, torch.Tensor]:
        numbers = frames.mask_features.flatten().long()
        assert numbers.tolist() == list(range(numbers[0], numbers[-1] + 1))
        places = (5, 2) if self.calls % 2 == 0 else (1, 6)
        self.calls += 1
        scores, masks = torch.zeros(8, 4), torch.full((8, len(numbers), 16, 24), -8.0)
        scores[:, 3] = 9  # no object
        for which, place in enumerate(places):
            scores[place] = class_logits(which, self.calls)
            masks[place] = self.masks[numbers, which]
        return scores, masks


def stream_of(count: int, **options) -> tuple[Mask2FormerStream, TwoObjects]:
    model = TwoObjects(count)
    return Mask2FormerStream(model, Mask2FormerStreamOptions(max_per_clip=2, **options)), model


@pytest.mark.parametrize('count', [1, 3, 5, 6, 8, 9, 20, 21])
@pytest.mark.parametrize('radius, stride', [(2, None), (2, 1), (2, 4), (1, 2)])
def test_objects_keep_their_ids_over_clips(count, radius, stride):
    stream, model = stream_of(count, clip_radius=radius, clip_stride=stride)
    meta = dict(img_shape=(64, 96), ori_shape=(16, 24))
    results, latest = [], 0
    for t in range(count):
        results += stream.step(torch.full((1, 3, 64, 96), float(t)), meta)
        latest = max(latest, t + 1 - len(results))
    assert latest <= 2 * radius + 1
    results += stream.finish()
    assert [r.frame_index for r in results] == list(range(count)) and model.decoded == count
    tracks = sorted(stream.video_instances().to_results(1, [3, 4, 5]), key=lambda track: track['track_id'])
    assert [(track['track_id'], track['category_id']) for track in tracks] == [(1, 3), (2, 4)]
    for track, expected in zip(tracks, model.masks.transpose(0, 1) > 0, strict=True):
        found = torch.stack([torch.from_numpy(mask_utils.decode(rle)) for rle in track['segmentations']]).bool()
        assert torch.equal(found, expected)
    each = [float(class_logits(0, call).softmax(0)[0]) for call in range(1, model.calls + 1)]
    assert tracks[0]['score'] == pytest.approx(sum(each) / len(each), abs=1e-6)  # MaskProp, Section 4.4


def test_frames_that_clips_share_have_the_mean_of_their_logits():
    stream, model = stream_of(4, clip_radius=1, clip_stride=1)
    plain = model.decode_clip
    # of frame 1 the first clip says -8, the second and last 12
    values = iter((torch.tensor([8.0, -8.0, 8.0]), torch.tensor([12.0, 8.0, 8.0])))

    def decode_clip(frames):
        scores, masks = plain(frames)
        value = next(values)
        masks[(masks > 0).flatten(1).any(1)] = -8.0
        masks[5 if model.calls == 1 else 1] = value[:, None, None].expand(3, 16, 24)
        return scores, masks

    model.decode_clip = decode_clip
    meta = dict(img_shape=(64, 96), ori_shape=(16, 24))
    for t in range(4):
        stream.step(torch.full((1, 3, 64, 96), float(t)), meta)
    stream.finish()
    (track,) = [t for t in stream.video_instances().to_results(1, [3, 4, 5]) if t['track_id'] == 1]
    assert [int(mask_utils.area(rle)) for rle in track['segmentations']] == [16 * 24] * 4


def test_state_does_not_grow_with_the_video():
    stream, _ = stream_of(400, clip_radius=2)
    meta = dict(img_shape=(64, 96), ori_shape=(16, 24))
    held = []
    for t in range(400):
        stream.step(torch.full((1, 3, 64, 96), float(t)), meta)
        held.append((len(stream._images), len(stream._decoded), len(stream._open), len(stream.linker._clips)))
    assert max(map(max, held)) <= 5


# the others differ by mmdet's backbones: tests/test_config_steps.py builds them, their names are tested below
STEPPED = [path for path in CONFIGS if 'r101' not in path.name and 'swin' not in path.name]


@pytest.mark.slow
@pytest.mark.parametrize('path', STEPPED, ids=str)
def test_configs_build_step_and_test(path):
    full = 'tiny' not in path.name
    model = build(path, **({'track_head.train_cfg.num_points': 64} if full else {}))
    inputs, samples = make_batch(([1, 2], [2, 3]))
    loss, _ = model.train().parse_losses(model.loss(inputs, samples))
    loss.backward()
    assert torch.isfinite(loss)
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert all('query_feat' in name or 'level_embed' in name for name in without), without
    model.eval()
    stream = model.start_video()
    for t in range(2):
        stream.step(inputs[0, t][None], samples[0].video_data_samples[t].metainfo)
    stream.finish()
    assert stream.video_instances().length == 2


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=[] if '_r50_' in name else pytest.mark.slow)
        for name in list_models()
        if name.startswith('mask2former')
    ],
)
def test_published_checkpoints_fit(name, monkeypatch):
    linspace = torch.linspace  # Swin reads its drop rates
    monkeypatch.setattr(torch, 'linspace', lambda *args: linspace(*args, device='cpu'))
    cfg = load_config(name)
    fit_num_classes(cfg.model, len(find_model(name).classes), name)
    net = {'r50': 'r50', 'r101': 'r101', 'swin': 'swin-l-p4-w12-384-in21k'}[name.split('_')[2]]
    with torch.device('meta'):
        ours = MODELS.build(cfg.model)
        theirs = MODELS.build(
            get_config(f'mmdet::mask2former_vis/mask2former_{net}_8xb2-8e_youtubevis2021.py').model
        )
    shapes = {key: value.shape for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == shapes


def test_weights_of_mmdets_class_load_as_they_are():
    model, other = build(), build()
    for p in other.parameters():
        torch.nn.init.zeros_(p)
    load_weights(other, dict(state_dict=model.state_dict()), 'x.pth')
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), model.parameters(), strict=True))


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(clip_radius=0), 'clip_radius=0'),
        (dict(clip_stride=13), 'clips share frames'),
        (dict(max_per_clip=0), 'max_per_clip=0'),
        (dict(score_rule='best'), 'score_rule'),
        (dict(linker=dict(type='BoxIoULinker')), 'links detections of frames'),
        ({'track_head.pixel_decoder.type': 'MSDeformAttnPixelDecoder'}, 'FramePixelDecoder'),
        (dict(no_such_key=1), 'no_such_key'),
    ],
    ids=str,
)
def test_bad_keys_are_named(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build(**changes)


def test_another_number_of_frames_is_named():
    model = build(**{'track_head.num_frames': 3})
    with pytest.raises(ValueError, match='num_frames=3, but the training pipeline gives 2 frames'):
        model.loss(*make_batch(([1, 2], [2, 3])))
