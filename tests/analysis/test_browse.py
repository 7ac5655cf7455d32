"""tools/browse_dataset.py: annotated videos of files and configs, samples as the training gets them."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import maskprop

maskprop.register_all()

from mmdet.structures import DetDataSample, TrackDataSample  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402

from maskprop.analysis import samples  # noqa: E402
from maskprop.analysis.browse import browse, config_pictures  # noqa: E402
from maskprop.analysis.samples import draw_sample  # noqa: E402
from maskprop.datasets.ytvis_json import AnnotationError  # noqa: E402
from maskprop.engine.config import ConfigError  # noqa: E402
from tests.engine.tiny_config import tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

TOOL = vars(import_module('maskprop.commands.browse_dataset'))


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'), videos=4)


@pytest.fixture
def config(root, tmp_path):
    return tiny_config(root, tmp_path / 'work')


def test_a_config_gives_videos_and_samples(config, tmp_path):
    written = browse(config, tmp_path / 'out', number=3)
    names = [path.name for path in written]
    assert len(names) == 6 and names[3:] == ['sample_0.jpg', 'sample_1.jpg', 'sample_2.jpg']
    assert all(name.startswith('video_') for name in names[:3])
    assert all(cv2.imread(str(path)) is not None for path in written)


def test_seed_decides_videos_samples_and_augmentation(config):
    def pictures(seed: int) -> list[tuple]:
        return [
            (name, caption, picture.tobytes())
            for name, caption, picture in config_pictures(config, 'train', 2, seed, None)
        ]

    assert pictures(4) == pictures(4)
    assert len({pictures(seed)[-1][2] for seed in range(3)}) == 3


def test_samples_are_those_of_the_training(config, monkeypatch):
    """Masks and pixels drawn are what the sampler's own requests give."""
    from mmdet.registry import DATA_SAMPLERS, DATASETS

    drawn = []
    monkeypatch.setattr(
        samples, 'draw_cell', lambda image, tracks, t, width: drawn.append((image, tracks)) or image
    )
    list(config_pictures(config, 'train', 2, 7, None))
    dataset = DATASETS.build(config.train_dataloader.dataset)
    sampler = DATA_SAMPLERS.build(
        {**config.train_dataloader.sampler, 'seed': 7}, default_args=dict(dataset=dataset)
    )
    expected = [dataset[request] for request, _ in zip(sampler, range(2), strict=False)]
    images = [image for sample in expected for image in sample['inputs'].permute(0, 2, 3, 1).numpy()]
    assert len(drawn) == len(images) == 4
    for (picture, tracks), image in zip(drawn, images, strict=True):
        assert np.array_equal(picture, image) and tracks
    instances = expected[0]['data_samples'].video_data_samples[0].gt_instances
    masks = {track.segmentations[0].tobytes() for track in drawn[0][1] if track.segmentations[0] is not None}
    assert masks == {mask.astype(bool).tobytes() for mask in instances.masks.masks}


def test_other_splits_give_videos_only(config, tmp_path):
    written = browse(config, tmp_path / 'page.html', number=9, split='val')
    assert written == [tmp_path / 'page.html']
    text = written[0].read_text()
    assert text.count('<img src="data:image/jpeg;base64,') == 4 and '://' not in text


def test_an_annotation_file_by_the_tool(root, tmp_path, capsys):
    args = [f'{root}/annotations/val.json', '--images', f'{root}/val/JPEGImages', '--number', '2']
    TOOL['browse'](TOOL['parse_args']([*args, '--out', f'{tmp_path}/out']))
    assert f'2 pictures written to {tmp_path}/out' in capsys.readouterr().out
    TOOL['browse'](TOOL['parse_args']([*args, '--out', f'{tmp_path}/page.html']))
    assert f'written: {tmp_path}/page.html' in capsys.readouterr().out


def test_files_that_cannot_be_browsed(root, config, tmp_path):
    path = root / 'annotations' / 'val.json'
    with pytest.raises(ConfigError, match='--images FOLDER is needed'):
        browse(path, tmp_path / 'out')
    with pytest.raises(AnnotationError, match='no such frame; give the folder'):
        browse(path, tmp_path / 'out', images=tmp_path)
    empty = tmp_path / 'empty.json'
    empty.write_text(json.dumps({**json.loads(path.read_text()), 'annotations': []}))
    with pytest.raises(AnnotationError, match='annotations: none in this file'):
        browse(empty, tmp_path / 'out', images=root)
    config.val_dataloader = None
    with pytest.raises(ConfigError, match='val_dataloader is not set'):
        browse(config, tmp_path / 'out', split='val')


def instances(**fields) -> InstanceData:
    return InstanceData(bboxes=torch.tensor([[4.0, 4, 20, 20]]), labels=torch.tensor([1]), **fields)


def test_a_box_without_a_mask_is_an_outline_and_a_crowd_says_so(monkeypatch):
    drawn = []
    monkeypatch.setattr(samples, 'draw_cell', lambda image, tracks, t, width: drawn.append(tracks) or image)
    mask = BitmapMasks(np.zeros((1, 30, 40), np.uint8), 30, 40)
    frame = DetDataSample(metainfo=dict(frame_id=3))
    frame.gt_instances = instances(masks=mask, mask_valid=torch.tensor([False]))
    frame.ignored_instances = instances(masks=BitmapMasks(np.ones((1, 30, 40), np.uint8), 30, 40))
    clip = TrackDataSample()
    clip.video_data_samples = [frame]
    draw_sample(dict(inputs=torch.zeros(1, 3, 30, 40), data_samples=clip), ['cat', 'dog'])
    boxed, crowd = drawn[0]
    assert boxed.label == 'dog' and crowd.label == 'dog (ignored)'
    outline = boxed.segmentations[0]
    assert outline.sum() == 16 * 16 - 14 * 14 and outline[4, 4] and not outline[10, 10]


def test_a_single_image_is_drawn(monkeypatch):
    frame = DetDataSample()
    frame.gt_instances, frame.ignored_instances = instances(), instances()[:0]
    picture = draw_sample(dict(inputs=torch.full((3, 30, 40), 300.0), data_samples=frame), ['cat', 'dog'])
    assert picture.ndim == 3 and picture.dtype == np.uint8


def test_other_samples_are_refused_in_a_sentence():
    with pytest.raises(ConfigError, match='yields a dict of img, which cannot be drawn'):
        draw_sample(dict(img=np.zeros(3)), ['cat'])
    with pytest.raises(ConfigError, match='yields a list'):
        draw_sample([1], ['cat'])
