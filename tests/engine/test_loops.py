"""Validation and test loops: frames in, whole videos to the metric and the hooks."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

import maskprop

maskprop.register_all()

from maskprop.datasets.ytvis_json import AnnotationError  # noqa: E402
from maskprop.engine.timing import StageClock  # noqa: E402
from maskprop.utils.random_state import get_random_state  # noqa: E402
from tests.engine.tiny_config import tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402


class RecordHook(Hook):
    def __init__(self) -> None:
        self.outputs: list[tuple[int, dict | None]] = []
        self.etas: list[float] = []

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.outputs.append((batch_idx, outputs))
        self.etas.append(runner.message_hub.get_info('eta'))


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'))


def build(root: Path, tmp_path: Path, **options) -> tuple[Runner, RecordHook]:
    runner = Runner.from_cfg(tiny_config(root, tmp_path, **options))
    hook = RecordHook()
    runner.register_hook(hook, priority='LOWEST')
    return runner, hook


@pytest.mark.slow
def test_videos_reach_metric_and_hooks_whole(root, tmp_path):
    runner, hook = build(root, tmp_path, test_evaluator__outfile_prefix=str(tmp_path / 'results'))
    metrics = runner.test()
    assert 'AP' in metrics
    assert [index for index, _ in hook.outputs] == list(range(18))
    finished = {index: out for index, out in hook.outputs if out is not None}
    assert list(finished) == [5, 11, 17] and [out['video_id'] for out in finished.values()] == [1, 2, 3]
    names = [[Path(path).name for path in out['img_paths']] for out in finished.values()]
    assert names == [[f'{t:05d}.jpg' for t in range(6)]] * 3
    written = json.loads((tmp_path / 'results.json').read_text())
    assert written == [result for out in finished.values() for result in out['results']]
    assert {result['category_id'] for result in written} == {1, 2, 4}
    assert hook.etas[-1] == 0 and all(eta > 0 for eta in hook.etas[:-1])


def test_stream_equals_feeding_frames_by_hand(root, tmp_path):
    runner, hook = build(root, tmp_path)
    runner.test()
    model = runner.model.eval()
    stream = model.start_video()
    with torch.no_grad():
        for frame in range(6):
            sample = runner.test_dataloader.dataset[(1, frame)]
            data = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
            data = model.data_preprocessor(data, False)
            stream.step(data['inputs'][0], data['data_samples'][0][0].metainfo)
    stream.finish()
    expected = stream.video_instances().to_results(2, [1, 2, 4])
    names = ('square', 'wide', 'tall')
    expected = [{**result, 'category_name': name} for result, name in zip(expected, names, strict=True)]
    assert hook.outputs[11][1]['results'] == expected


@pytest.mark.slow
def test_random_states_and_number_of_workers(root, tmp_path):
    """Neither changes the other: data workers draw a seed."""
    runner, hook = build(root, tmp_path, test_dataloader__num_workers=2)
    before = get_random_state()
    runner.test()
    after = get_random_state()
    assert torch.equal(before['torch'], after['torch']) and before['python'] == after['python']
    other, expected = build(root, tmp_path)
    other.model.load_state_dict(runner.model.state_dict())
    other.test()
    assert [out for _, out in hook.outputs] == [out for _, out in expected.outputs]


def test_times_of_the_stages_are_logged(root, tmp_path):
    runner, _ = build(root, tmp_path, log_level='INFO')
    runner.test()
    assert {'data', 'model', 'metric', 'evaluation'} <= set(runner.test_loop.clock.seconds)
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert '18 frames; data ' in log and ' a frame), evaluation ' in log


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(test_dataloader__batch_size=2), 'test_dataloader.batch_size=2: expected 1'),
        (
            dict(test_dataloader__sampler=dict(type='DefaultSampler', _delete_=True)),
            'a batch has 1 samples of 6 frames: .*VideoFrameSampler.* in test_dataloader',
        ),
        (
            dict(test_dataloader__sampler=dict(type='ShuffledFrames')),
            'video 1: 1 of its 6 frames came, then one of video 2 came. .*VideoFrameSampler in test_dataloader',
        ),
        (
            dict(test_dataloader__sampler=dict(type='ShuffledFrames', last=1)),
            'video 1: 1 of its 6 frames came, then no more',
        ),
    ],
)
def test_frames_that_do_not_make_whole_videos_are_refused(root, tmp_path, options, message):
    runner, _ = build(root, tmp_path, **options)
    with pytest.raises(ValueError, match=message):
        runner.test()


def test_an_image_of_another_size_than_the_file_says_is_refused(tmp_path):
    """Else a submission with masks that no server takes would be written after hours."""
    root = write_tiny_ytvis(tmp_path / 'set')
    image = root / 'val/JPEGImages/0001/00000.jpg'
    assert cv2.imwrite(str(image), cv2.imread(str(image))[:-2])
    out = dict(test_evaluator__format_only=True, test_evaluator__outfile_prefix=str(tmp_path / 'results'))
    runner, _ = build(root, tmp_path, **out)
    with pytest.raises(AnnotationError, match=r'video 2: the image is 64 x 46, but .* 64 x 48 \(width x height\)'):
        runner.test()
    assert not (tmp_path / 'results.json').exists()


def test_stage_clock_counts_every_stage_once():
    clock = StageClock()
    with pytest.raises(KeyError), clock('a'):
        raise KeyError
    assert list(clock.iterate('b', iter([1, 2]))) == [1, 2]
    assert set(clock.seconds) == {'a', 'b'} and clock.summary(0).startswith('0 frames; a ')
