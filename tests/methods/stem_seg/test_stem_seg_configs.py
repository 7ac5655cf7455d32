"""Every config makes a training step and a test step on small frames; its pipelines fit its model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402
from mmdet.structures import TrackDataSample  # noqa: E402

from maskprop.engine.config import ConfigError  # noqa: E402
from maskprop.engine.num_classes import fit_num_classes  # noqa: E402
from tests.models.builders import CLASSES, make_sample  # noqa: E402

CONFIGS = sorted(Path('configs/stem_seg').glob('*.py'))
TINY = Path('configs/stem_seg/stem_seg_tiny_synthetic.py')
SIZE = (96, 128)  # three cells at stride 32, the least
LENGTH = 2  # of clips of full-size models: no weight depends on it, and all of the time does


def build(path: Path, **keys) -> torch.nn.Module:
    cfg = Config.fromfile(path)
    fit_num_classes(cfg.model, CLASSES)
    torch.manual_seed(0)
    return MODELS.build({**cfg.model, **keys})


def make_clips(frames: int, *ids: list[int]) -> tuple[torch.Tensor, list[TrackDataSample]]:
    samples = []
    for seed, own in enumerate(ids):
        track = TrackDataSample()
        track.video_data_samples = [make_sample(own, seed, frame) for frame in range(frames)]  # 64 x 96 pixels
        samples.append(track)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(ids), frames, 3, *SIZE, generator=generator), samples


@pytest.mark.parametrize(
    'path', [pytest.param(path, id=str(path), marks=pytest.mark.slow if path != TINY else []) for path in CONFIGS]
)
def test_steps(path):
    tiny = path == TINY
    model = build(path, **({} if tiny else dict(clip_length=LENGTH, clip_overlap=1))).train()
    if '101' in path.name:  # the gradients of the other full-size one are enough
        model.backbone.requires_grad_(False)
    inputs, samples = make_clips(model.clip_length, [1, 2])
    losses = model.loss(inputs, samples)
    assert sorted(losses) == [
        f'loss_{name}' for name in ('foreground', 'lovasz', 'seediness', 'semantic', 'smoothness')
    ]
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert torch.isfinite(loss)
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without

    model.eval()
    stream = model.start_video()
    meta = dict(img_shape=(90, 128), ori_shape=(45, 64))
    for t in range(model.clip_length):
        stream.step(inputs[0, t][None], meta)
    stream.finish()
    assert stream.video_instances().length == model.clip_length
    assert isinstance(stream.video_instances().to_results(1, [1, 2, 3]), list)


@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_clips_of_the_pipeline_have_the_models_length(path):
    cfg = Config.fromfile(path)
    assert len(cfg.train_dataloader.dataset.pipeline[0].offsets) == cfg.model.get('clip_length', 8)
    assert cfg.model.data_preprocessor.pad_size_divisor == 32 and cfg.model.data_preprocessor.pad_mask


def test_batch_without_objects_and_its_gradients():
    model = build(TINY).train()
    loss, _ = model.parse_losses(model.loss(*make_clips(8, [], [])))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_weights_of_the_losses():
    clips = make_clips(8, [1, 2])
    plain = build(TINY).eval().loss(*clips)
    other = build(TINY, loss_weights=dict(smoothness=1.0)).eval().loss(*clips)
    for name, loss in plain.items():
        factor = 10 if name == 'loss_smoothness' else 1
        assert float(loss.detach()) == pytest.approx(factor * float(other[name].detach()), rel=1e-5)


def test_a_decoder_of_its_own_for_the_seediness():
    head = Config.fromfile(TINY).model.embedding_head
    model = build(TINY, seediness_head={**head, 'type': 'ClipSeedinessDecoder'})
    inputs, _ = make_clips(8, [1])
    feats = [level.unflatten(0, (1, 8)).transpose(1, 2) for level in model.eval().extract_feat(inputs[0])]
    output, _ = model.decode(feats)
    assert output.shape[1] == 7
    assert torch.equal(output[:, 6:], model.seediness_head(feats))
    assert model.embedding_head.conv_seediness is None


def test_predict_is_the_stream():
    model = build(TINY).eval()
    inputs, samples = make_clips(9, [1])
    for frame in samples[0].video_data_samples:
        frame.set_metainfo(dict(img_shape=(90, 128), ori_shape=(45, 64)))
    (video,) = model.predict(inputs, samples)
    assert video.length == 9
    stream = model.start_video()
    for t, frame in enumerate(samples[0].video_data_samples):
        stream.step(inputs[0, t][None], frame.metainfo)
    stream.finish()
    assert video.to_results(1, [1, 2, 3]) == stream.video_instances().to_results(1, [1, 2, 3])


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (dict(loss_weights=dict(mask=1.0)), 'model.loss_weights'),
        (dict(clustering=dict(type='SeedClustering', distance='l1')), 'model.clustering.distance'),
        (dict(enlarge='masks'), 'model.enlarge'),
        (dict(clip_length=3), 'clip_length=3'),
    ],
)
def test_bad_keys_are_named_at_once(keys, message):
    with pytest.raises(ConfigError, match=message):
        build(TINY, **keys)
