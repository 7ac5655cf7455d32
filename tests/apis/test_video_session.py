"""VideoSession and inference_video on a model that finds colours."""

from __future__ import annotations

import weakref
from itertools import islice

import cv2
import mmcv
import numpy as np
import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmengine.dataset import Compose, pseudo_collate
from pycocotools import mask as mask_utils

from maskprop.apis import VideoError, VideoSession, inference_video, stream_results
from maskprop.apis.session import frame_pipeline, image_loader_options
from maskprop.visualization.files import write_image
from tests.apis.fake_video_model import ColourModel, make_video


@pytest.fixture(scope='module', autouse=True)
def _scope():
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)


def test_session_equals_whole_video_equals_folder(tmp_path):
    model, frames = ColourModel(), make_video()
    session = VideoSession(model)
    final = [result for frame in frames for result in session.step(frame)]
    assert [result.frame_index for result in final] == [0, 1, 2, 3, 4]
    final += session.finish()
    assert [result.frame_index for result in final] == list(range(8))
    results = session.results(video_id=5)
    assert results == inference_video(model, frames, video_id=5)
    assert results == inference_video(model, (f for f in frames), video_id=5)
    assert [(r['video_id'], r['category_id']) for r in results] == [(5, 3), (5, 8)]
    assert [s is not None for s in results[1]['segmentations']] == [False] * 2 + [True] * 6
    for t, frame in enumerate(frames):
        write_image(tmp_path / f'{t}.png', frame)
    assert results == inference_video(model, tmp_path, video_id=5)
    assert inference_video(model, tmp_path, frame_stride=3) == inference_video(model, frames[::3])


def test_masks_are_where_the_squares_are():
    frames = make_video()
    red = inference_video(ColourModel(), frames)[0]
    mask = mask_utils.decode(red['segmentations'][1]).astype(bool)
    truth = np.zeros((60, 80), bool)
    truth[10:30, 4:24] = True
    assert mask.shape == (60, 80) and (mask & truth).sum() / (mask | truth).sum() > 0.8


def test_pixels_and_meta_are_those_of_the_test_pipeline(tmp_path):
    """The reference: the config's own pipeline on the file, as a data set's __getitem__ runs it."""
    model = ColourModel()
    path = tmp_path / 'a.jpg'
    write_image(path, make_video()[4])
    loader, pack = model.cfg.test_dataloader.dataset.pipeline
    without_annotations = [dict(loader, transforms=loader['transforms'][:2]), pack]
    pipeline = Compose([TRANSFORMS.build(step) for step in without_annotations])
    record = dict(img_path=[str(path)], img_id=[0], frame_id=[0], video_id=[1], video_length=[1], instances=[[]])
    expected = model.data_preprocessor(pseudo_collate([pipeline(record)]), False)
    seen = []
    session = VideoSession(model)
    session.stream.step = lambda image, meta: seen.append((image, meta)) or []
    session.step(mmcv.imread(str(path), **image_loader_options(model.cfg)))
    (image, meta), reference = seen[0], expected['data_samples'][0][0].metainfo
    assert torch.equal(image, expected['inputs'][0])
    for key in ('ori_shape', 'img_shape', 'scale_factor', 'batch_input_shape', 'frame_id', 'flip'):
        assert meta.get(key) == reference.get(key), key
    assert image.shape == (1, 3, 64, 96)


def test_loader_options_follow_the_config():
    model = ColourModel()
    assert image_loader_options(model.cfg) == dict(flag='color', backend='cv2')
    model.cfg.test_dataloader.dataset.pipeline[0].transforms[0].update(
        color_type='unchanged', imdecode_backend='pillow'
    )
    assert image_loader_options(model.cfg) == dict(flag='unchanged', backend='pillow')
    model.cfg.test_dataloader.dataset.pipeline[0].transforms.pop(0)
    with pytest.raises(ValueError, match='no LoadImageFromFile'):
        frame_pipeline(model.cfg)


def test_frames_are_not_kept():
    """Of an endless video, only the frames that aren't final are alive."""
    made: list[weakref.ref] = []

    def endless():
        while True:
            frame = make_video(1)[0]
            made.append(weakref.ref(frame))
            yield frame
            del frame

    def count_alive():
        return sum(frame() is not None for frame in made)

    session = VideoSession(ColourModel(delay=3))
    most = 0
    for i, (_, result) in enumerate(islice(stream_results(session, endless()), 30)):
        assert result.frame_index == i
        most = max(most, count_alive())
    assert 4 <= most <= 6
    session = VideoSession(ColourModel(delay=3))
    made.clear()
    for frame in islice(endless(), 20):
        session.step(frame)
        assert count_alive() == 1


def test_stream_gives_each_frame_its_own_result():
    frames = make_video()
    pairs = list(stream_results(VideoSession(ColourModel()), frames))
    assert len(pairs) == 8
    for frame, (given, result) in zip(frames, pairs, strict=True):
        np.testing.assert_array_equal(frame, given)
        assert result.ids == ([1, 2] if result.frame_index >= 2 else [1])


def test_a_reused_buffer_is_fine():
    frames, model = make_video(), ColourModel()
    buffer = np.empty_like(frames[0])
    session = VideoSession(model)
    for frame in frames:
        buffer[...] = frame
        session.step(buffer)
        buffer[...] = 0
    session.finish()
    assert session.results() == inference_video(model, frames)


@pytest.mark.parametrize(
    'frame, error, match',
    [
        (np.zeros((60, 80, 3), np.float32), TypeError, 'frame 1: expected dtype uint8.*float32'),
        (np.zeros((60, 80), np.uint8), ValueError, r'frame 1: expected the shape.*\(60, 80\)'),
        (np.zeros((60, 80, 4), np.uint8), ValueError, r'\(60, 80, 4\)'),
        (np.zeros((0, 80, 3), np.uint8), ValueError, r'\(0, 80, 3\)'),
        (torch.zeros((60, 80, 3), dtype=torch.uint8), TypeError, 'numpy array.*Tensor'),
        (None, TypeError, 'NoneType'),
        (np.zeros((80, 60, 3), np.uint8), ValueError, 'frame 1: 80x60 after frames of 60x80'),
    ],
)
def test_bad_frames(frame, error, match):
    frames, model = make_video(), ColourModel()
    session = VideoSession(model)
    session.step(frames[0])
    with pytest.raises(error, match=match):
        session.step(frame)
    for good in frames[1:]:  # and the session goes on
        session.step(good)
    session.finish()
    assert session.results() == inference_video(model, frames)


def test_order_of_calls():
    model, frames = ColourModel(), make_video(2)
    session = VideoSession(model)
    with pytest.raises(ValueError, match='empty'):
        session.finish()
    session.step(frames[0])
    with pytest.raises(RuntimeError, match=r'finish\(\) before results'):
        session.results()
    session.finish()
    with pytest.raises(RuntimeError, match='new VideoSession'):
        session.step(frames[1])
    with pytest.raises(RuntimeError, match='finished already'):
        session.finish()
    with pytest.raises(ValueError, match='empty'):
        inference_video(model, iter([]))


def test_models_that_are_not_ready():
    model = ColourModel()
    with pytest.raises(ValueError, match=r'model.eval\(\)'):
        VideoSession(model.train())
    model.eval()
    model.cfg = None
    with pytest.raises(ValueError, match='init_model'):
        VideoSession(model)
    with pytest.raises(ValueError, match='init_model'):
        inference_video(model, make_video(2))


def test_cv2_reads_what_mmcv_reads(tmp_path):
    write_image(tmp_path / 'a.jpg', make_video()[0])
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'a.jpg')), mmcv.imread(str(tmp_path / 'a.jpg')))


def test_a_strip_of_which_the_resize_leaves_nothing_is_refused():
    model = ColourModel()
    session = VideoSession(model)
    with pytest.raises(VideoError, match=r"the video's frames are 3000 x 2 pixels .* makes \d+ x 0"):
        session.step(np.zeros((2, 3000, 3), np.uint8))
    session.step(np.zeros((48, 64, 3), np.uint8))  # it can go on
