"""The hook behind ``tools/test.py --show-dir``: which files, of what size, with which rows."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from maskprop.ops.mmcv_kernels import install_torchvision_kernels

install_torchvision_kernels()

from mmdet.registry import HOOKS  # noqa: E402

from maskprop.visualization.files import write_image  # noqa: E402
from maskprop.visualization.hook import VideoVisualizationHook, index_videos  # noqa: E402
from maskprop.visualization.strip import GAP, layout_margins  # noqa: E402

SIZE = (48, 64)


def _rle(x: int) -> dict:
    mask = np.zeros(SIZE, np.uint8, order='F')
    mask[10:30, x : x + 20] = 1
    return dict(size=list(SIZE), counts=mask_utils.encode(mask)['counts'].decode())


class FakeDataset:
    """Two videos of three frames; the second has no annotations."""

    metainfo = dict(classes=('cat', 'dog'), category_ids=[3, 5])

    def __init__(self, root, folders=('first', 'second')):
        self.infos = []
        for v, folder in enumerate(folders):
            images = []
            for t in range(3):
                path = root / folder / f'{t}.png'
                write_image(path, np.full((*SIZE, 3), 50 * t, np.uint8))
                instances = [dict(instance_id=7, bbox_label=0, mask=_rle(3 * t))] if v == 0 else []
                images.append(dict(img_path=str(path), instances=instances))
            self.infos.append(dict(video_id=v + 1, images=images))

    def __len__(self):
        return len(self.infos)

    def get_data_info(self, i):
        return self.infos[i]


@pytest.fixture
def dataset(tmp_path):
    return FakeDataset(tmp_path / 'images')


def _run(hook, dataset, mode: str = 'test'):
    """As the loops do: every frame calls the hook, a video's last one with outputs."""
    runner = SimpleNamespace(**{f'{mode}_dataloader': SimpleNamespace(dataset=dataset)})
    getattr(hook, f'before_{mode}_epoch')(runner)
    after = getattr(hook, f'after_{mode}_iter')
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        paths = [image['img_path'] for image in info['images']]
        results = [
            dict(video_id=i + 1, category_id=5, score=score, segmentations=[_rle(x), None, _rle(x)], track_id=t)
            for t, x, score in ((1, 5, 0.9), (2, 30, 0.2))
        ]
        for t in range(3):
            outputs = dict(video_id=i + 1, results=results, img_paths=paths) if t == 2 else None
            after(runner, batch_idx=t, data_batch={}, outputs=outputs)


def _files(folder) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())


@pytest.mark.parametrize('mode', ['test', 'val'])
def test_files_of_each_video(tmp_path, dataset, mode):
    out = tmp_path / 'out'
    hook = HOOKS.build(dict(type='VideoVisualizationHook', out_dir=str(out), num_columns=2))
    _run(hook, dataset, mode)
    said = []
    getattr(hook, f'after_{mode}_epoch')(SimpleNamespace(logger=SimpleNamespace(info=said.append)))
    assert said == [f'pictures of the videos are in {out}']
    expected = []
    for name in ('first', 'second'):
        expected += [f'{name}/{t:05d}.jpg' for t in range(3)] + [f'{name}.mp4', f'{name}_strip.png']
    assert _files(out) == sorted(expected)
    capture = cv2.VideoCapture(str(out / 'first.mp4'))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    image = cv2.imread(str(out / 'first' / '00001.jpg'))
    assert image.shape[0] == capture.get(cv2.CAP_PROP_FRAME_HEIGHT) == 48  # the frames' own size
    assert abs(image.astype(int) - 50).max() <= 2  # no object there
    assert abs(cv2.imread(str(out / 'first' / '00000.jpg')).astype(int)).max() > 200  # one here


def test_ground_truth_row_only_with_annotations(tmp_path, dataset):
    _run(VideoVisualizationHook(tmp_path / 'out', num_columns=2, write_frames=False, write_video=False), dataset)
    assert _files(tmp_path / 'out') == ['first_strip.png', 'second_strip.png']
    height = 240  # 320 wide, in proportion
    for name, titles in (
        ('first', ['frames', 'ground truth', 'prediction']),
        ('second', ['frames', 'prediction']),
    ):
        strip = cv2.imread(str(tmp_path / 'out' / f'{name}_strip.png'))
        top, left = layout_margins(titles)
        assert strip.shape == (top + len(titles) * (height + GAP) + GAP, left + 2 * (320 + GAP) + GAP, 3)


def test_min_score(tmp_path, dataset):
    for out, min_score in (('all', 0.1), ('none', 0.95)):
        hook = VideoVisualizationHook(tmp_path / out, min_score=min_score, write_video=False, upscale=4)
        _run(hook, dataset)
    right = (slice(None), slice(int(4 * 35), int(4 * 45)))  # where only the object of score 0.2 is
    assert cv2.imread(str(tmp_path / 'all' / 'first' / '00000.jpg'))[right].max() > 100
    assert cv2.imread(str(tmp_path / 'none' / 'first' / '00000.jpg')).max() <= 2


def test_max_videos_begin_anew_with_each_epoch(tmp_path, dataset):
    hook = VideoVisualizationHook(tmp_path / 'a', max_videos=1, write_frames=False, write_strip=False)
    _run(hook, dataset)
    assert _files(tmp_path / 'a') == ['first.mp4']
    hook.out_dir = tmp_path / 'b'
    _run(hook, dataset)
    assert _files(tmp_path / 'b') == ['first.mp4']


def test_what_cannot_be_drawn_is_counted_and_passed_over(tmp_path, dataset, monkeypatch):
    hook = VideoVisualizationHook(tmp_path / 'out', write_video=False, write_frames=False)
    drawn = []

    def draw(paths, *args, **kwargs):
        drawn.append(paths)
        if len(drawn) == 1:
            raise RuntimeError('raqm_layout() failed')
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr('maskprop.visualization.hook.draw_strip', draw)
    _run(hook, dataset)
    assert _files(tmp_path / 'out') == ['second_strip.png']
    assert hook.summary() == '1 video not drawn, the first: first (raqm_layout() failed)'
    _run(hook, dataset)
    assert hook.summary() == '' and len(drawn) == 4


def test_names_are_unique(tmp_path):
    dataset = FakeDataset(tmp_path, folders=('a/x', 'b/x', 'c/y'))
    assert index_videos(dataset) == {1: (0, 'x_1'), 2: (1, 'x_2'), 3: (2, 'y')}
    dataset = FakeDataset(tmp_path, folders=('a/x', 'b/x', 'x_2', 'L' * 255, 'X_1'))
    names = [name for _, name in index_videos(dataset).values()]
    assert names == ['x_1', 'x_2', 'x_2_2', 'L' * 200, 'X_1_2']
    with pytest.raises(ValueError, match='fps'):
        VideoVisualizationHook(tmp_path, fps=0)
