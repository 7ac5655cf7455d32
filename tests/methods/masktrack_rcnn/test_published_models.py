"""A checkpoint in the layout of mmdet's published ones, by index name: detections and ids of mmdet's class."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import mmengine
import pytest
import torch
from mmengine.hub import get_config
from pycocotools import mask as mask_utils

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402
from mmdet.structures import DetDataSample, TrackDataSample  # noqa: E402

from maskprop.apis import init_model  # noqa: E402
from maskprop.zoo import find_model, index  # noqa: E402
from maskprop.zoo.downloads import file_digest  # noqa: E402

SIZE, ORIGINAL, SCALE = (96, 128), (72, 96), 4 / 3
FRAMES = 4


def mmdet_config(net: str) -> mmengine.Config:
    return get_config(f'mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_{net}_fpn_8xb1-12e_youtubevis2019.py')


def mmdet_model(net: str) -> torch.nn.Module:
    """With random weights that find many objects of many classes, with scores that differ."""
    torch.manual_seed(0)
    cfg = mmdet_config(net).model
    cfg.detector.pop('init_cfg')
    cfg.detector.backbone.init_cfg = None
    model = MODELS.build(cfg).eval()
    head = model.detector.roi_head
    with torch.no_grad():
        for weight, factor in ((head.bbox_head.fc_cls.weight, 30), (head.mask_head.conv_logits.weight, 30)):
            weight.mul_(factor)
    return model


def metas() -> list[dict]:
    common = dict(img_shape=SIZE, ori_shape=ORIGINAL, scale_factor=(SCALE, SCALE), pad_shape=SIZE)
    return [dict(common, frame_id=t, video_length=FRAMES, batch_input_shape=SIZE) for t in range(FRAMES)]


def video() -> torch.Tensor:
    """(FRAMES, 1, 3, H, W), as the data preprocessor gives it; a scene that moves."""
    torch.manual_seed(1)
    scene = torch.nn.functional.interpolate(torch.randn(1, 3, 14, 18), scale_factor=8, mode='bicubic')
    return torch.stack([scene[..., 2 * t : 2 * t + SIZE[0], 3 * t : 3 * t + SIZE[1]] for t in range(FRAMES)])


@torch.no_grad()
def mmdets_result(model: torch.nn.Module) -> list:
    frames = []
    for image, meta in zip(video(), metas(), strict=True):
        sample = TrackDataSample()
        sample.video_data_samples = [DetDataSample(metainfo=meta)]
        frames.append(model.predict(image[None], [sample])[0][0])
    return frames


@pytest.mark.slow
@pytest.mark.parametrize('net', ['r50'])
def test_detections_and_ids_equal_mmdets(net, tmp_path, monkeypatch):
    reference = mmdet_model(net)
    name = f'masktrack_rcnn_{net}_ytvis2019'
    put_into_cache(reference, name, tmp_path, monkeypatch)
    model = init_model(name, device='cpu')
    assert model.dataset_meta['classes'][23] == 'fox' and model.dataset_meta['category_ids'] == list(range(1, 41))

    expected = mmdets_result(reference)
    features = model.start_features()
    for image, meta, sample in zip(video(), metas(), expected, strict=True):
        (view,) = features.step(image, meta)
        boxes = model.encode(view, needs=()).boxes
        torch.testing.assert_close(boxes, sample.pred_instances.bboxes, rtol=0, atol=1e-4)

    expected = [sample.pred_track_instances for sample in expected]
    stream = model.start_video()
    results = [r for image, meta in zip(video(), metas(), strict=True) for r in stream.step(image, meta)]
    results += stream.finish()
    assert len(results) == FRAMES
    names: dict[int, int] = {}  # mmdet's id -> ours
    for result, found in zip(results, expected, strict=True):
        assert len(found.labels) >= 10 and len(set(found.labels.tolist())) >= 5
        assert result.labels == found.labels.tolist()
        torch.testing.assert_close(torch.tensor(result.scores), found.scores, rtol=0, atol=1e-6)
        masks = torch.from_numpy(mask_utils.decode(result.masks)).permute(2, 0, 1).bool()
        assert torch.equal(masks, found.masks)
        for ours, theirs in zip(result.ids, found.instances_id.tolist(), strict=True):
            assert names.setdefault(theirs, ours) == ours
    assert len(set(names.values())) == len(names)
    ids = [set(found.instances_id.tolist()) for found in expected]
    assert all(len(a & b) >= 3 for a, b in pairwise(ids))  # ids go on from frame to frame


def put_into_cache(reference: torch.nn.Module, name: str, folder, monkeypatch) -> None:
    """As the download would have left it, with the top-level class names of files of before 2023."""
    monkeypatch.setattr('torch.hub._hub_dir', None)
    monkeypatch.setenv('TORCH_HOME', str(folder))
    cache = folder / 'hub/checkpoints'
    cache.mkdir(parents=True)
    info = find_model(name)
    torch.save(dict(meta=dict(CLASSES=info.classes), state_dict=reference.state_dict()), cache / 'new.pth')
    file = f'model-{file_digest(cache / "new.pth")[:8]}.pth'
    (cache / 'new.pth').rename(cache / file)
    entry = replace(info, weights=f'https://localhost/{file}')
    monkeypatch.setattr(index, '_read_index', lambda: {name: entry})


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=[] if name == 'masktrack_rcnn_r50_ytvis2019' else pytest.mark.slow)
        for name in index.list_models()
        if name.startswith('masktrack_rcnn')
    ],
)
def test_published_checkpoints_have_the_names_and_shapes_of_the_config(name):
    from maskprop.engine.config import load_config
    from maskprop.engine.num_classes import fit_num_classes

    cfg = load_config(name)
    fit_num_classes(cfg.model, len(find_model(name).classes), name)
    net = name.split('_')[2]
    with torch.device('meta'):
        ours, theirs = MODELS.build(cfg.model), MODELS.build(mmdet_config(net).model)
    shapes = {key: value.shape for key, value in ours.state_dict().items()}
    assert shapes == {key: value.shape for key, value in theirs.state_dict().items()}
    published = mmdet_config(net).model
    assert cfg.model.data_preprocessor == published.data_preprocessor
    assert cfg.model.detector.test_cfg == published.detector.test_cfg
