"""The real model: ``inference_video`` gives what the test loop gives, exactly; the tool and the page run."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

import maskprop
from maskprop.apis import VideoSession, infer_video_to_folder, inference_video, init_model
from maskprop.apis.frames import open_frames
from maskprop.visualization import VideoWriter
from tests.engine.tiny_config import MASKPROP, tiny_config
from tests.helpers import write_tiny_ytvis

pytestmark = pytest.mark.slow

REPO = Path(__file__).parents[2]


class CollectResults(Hook):
    def __init__(self) -> None:
        self.results: dict[int, list[dict]] = {}

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if outputs:
            self.results[outputs['video_id']] = outputs['results']


@pytest.fixture(autouse=True, scope='module')
def one_thread():
    """A model this small is faster on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_tiny_ytvis(tmp_path_factory.mktemp('tiny'), videos=2, frames=7, size=(50, 70))


def _config(root: Path, work_dir: Path, **options) -> Config:
    """The tiny MaskProp; its weights will be random, so whatever the score, it is a detection."""
    maskprop.register_all()
    rcnn = 'model__detector__test_cfg__rcnn'
    options = {f'{rcnn}__score_thr': 0.0, f'{rcnn}__max_per_img': 4, **options}
    return tiny_config(root, work_dir, MASKPROP, **options)


def _save_weights(cfg: Config, path: Path) -> str:
    from mmdet.registry import MODELS

    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    meta = dict(dataset_meta=dict(classes=['square', 'wide', 'tall'], category_ids=[1, 2, 4]))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


def _run_test(cfg: Config, checkpoint: str) -> dict[int, list[dict]]:
    cfg.load_from = checkpoint
    runner = Runner.from_cfg(cfg)
    collect = CollectResults()
    runner.register_hook(collect)
    runner.test()
    return collect.results


STRIDE = dict(test_dataloader__dataset__frame_stride=3, test_evaluator__frame_stride=3)


@pytest.mark.parametrize('options', [dict(), dict(model__fill=True, model__output_mask='propagated'), STRIDE])
def test_equal_to_the_test_loop(root, tmp_path, options):
    cfg = _config(root, tmp_path, **options)
    checkpoint = _save_weights(cfg, tmp_path / 'model.pth')
    model = init_model(cfg, checkpoint, device='cpu')
    stride = options.get('test_dataloader__dataset__frame_stride', 1)
    expected = _run_test(cfg, checkpoint)
    assert sorted(expected) == [1, 2]
    for video_id, results in expected.items():
        folder = root / 'val' / 'JPEGImages' / f'{video_id - 1:04d}'
        found = inference_video(model, folder, video_id=video_id, frame_stride=stride)
        assert len(found) > 3 and len(found[0]['segmentations']) == len(range(0, 7, stride))
        assert {r['category_id'] for r in found} <= {1, 2, 4}
        assert found == results

        session = VideoSession(model)
        for path in sorted(folder.iterdir())[::stride]:
            session.step(cv2.imread(str(path)))
        session.finish()
        assert session.results(video_id) == results


@pytest.fixture(scope='module')
def files(root, tmp_path_factory) -> dict[str, str]:
    """A config, a checkpoint, a video and a results file, by the names that the page gives them."""
    folder = tmp_path_factory.mktemp('files')
    cfg = _config(root, folder)
    cfg.dump(str(folder / 'config.py'))
    paths = dict(CONFIG=str(folder / 'config.py'), CHECKPOINT=_save_weights(cfg, folder / 'model.pth'))
    with VideoWriter(folder / 'video.mp4', fps=6) as writer:
        for path in sorted((root / 'val' / 'JPEGImages' / '0000').iterdir()):
            writer.write(cv2.imread(str(path)))
    return {**paths, 'my_video.mp4': str(folder / 'video.mp4'), 'out/my_video': str(folder / 'out')}


def _run_tool(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, 'argv', ['infer_video.py', *arguments])
    runpy.run_path(str(REPO / 'tools' / 'infer_video.py'), run_name='__main__')


def test_tool(files, monkeypatch, capsys):
    config, checkpoint, video, out = files.values()
    _run_tool(monkeypatch, config, checkpoint, video, '--out', out, '--device', 'cpu', '--frame-stride', '2')
    assert sorted(p.name for p in Path(out).iterdir()) == ['overlay.mp4', 'results.json']
    results = json.loads((Path(out) / 'results.json').read_text())
    model = init_model(config, checkpoint, 'cpu')
    assert results == inference_video(model, video, frame_stride=2)
    captured = capsys.readouterr()
    assert '4/4' in captured.err and re.search(r'video: 4 frames in \S+ s \(\S+ frames/s\); ', captured.out)
    assert all(str(path) in captured.out for path in Path(out).iterdir())


def test_nothing_found_names_the_detector_s_key_and_the_highest_score(files, tmp_path):
    config, checkpoint, video, _ = files.values()
    key = 'model.detector.test_cfg.rcnn.score_thr'
    model = init_model(config, checkpoint, 'cpu', {key: 0.999})
    report = infer_video_to_folder(model, video, tmp_path, write_video=False, progress=False)
    found = re.search(
        rf'{key}=0.999; the highest score in frame 3 is (\S+)\. Lower it: --cfg-options {key}=', *report.notes
    )
    session = VideoSession(init_model(config, checkpoint, 'cpu'))
    session.step(list(open_frames(video))[3])
    assert float(found[1]) == pytest.approx(max(session.finish()[0].scores), rel=0.05)


def test_tool_errors_are_one_line(files, monkeypatch, capsys):
    config, checkpoint, video, out = files.values()
    for arguments, message in (
        ((config, checkpoint, 'nothing.mp4'), 'nothing.mp4: no such video file'),
        ((config, 'nothing.pth', video), 'nothing.pth: no such file'),
        (('nothing.py', checkpoint, video), 'nothing.py: no such file'),
        ((config, checkpoint, checkpoint), 'finds no video frames in it'),
        ((config, checkpoint, video, '--frame-stride', '0'), '--frame-stride: 0: expected a whole number from 1'),
    ):
        with pytest.raises(SystemExit, match='1|2'):
            _run_tool(monkeypatch, *arguments, '--out', out, '--device', 'cpu')
        printed = capsys.readouterr().err.strip()
        assert message in printed and '\n' not in printed[printed.index('error: ') :]


def test_the_page_runs(root, files, monkeypatch, capsys):
    """Every Python snippet of docs/inference.md, in order, as it stands but for the files' names."""
    monkeypatch.chdir(root)
    (root / 'results.json').write_text('[]')
    snippets = re.findall(r'```python\n(.*?)```', (REPO / 'docs' / 'inference.md').read_text(), re.DOTALL)
    assert len(snippets) == 4
    namespace: dict = {}
    for snippet in snippets:
        for name, path in files.items():
            snippet = snippet.replace(f"'{name}'", repr(path))
        exec(snippet, namespace)
    assert re.match(r'(square|wide|tall) 0\.\d+ [1-7]\n', capsys.readouterr().out)
    assert namespace['results'] == inference_video(namespace['model'], files['my_video.mp4'])
    assert np.ptp(cv2.imread('strip.png')) > 0
