"""Which videos a command line means, where their files go, and what is told before torch is imported."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskprop.apis.captures import VideoError
from maskprop.apis.video_arguments import plan_videos
from maskprop.utils.processes import child_environment
from maskprop.visualization import VideoWriter
from maskprop.visualization.files import write_image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clips(tmp_path, monkeypatch) -> Path:
    """a/1.mp4, a/2.mp4, a/10.mp4, b/1.mp4 and the folder of images b/frames, in the working folder."""
    for name in ('a/1.mp4', 'a/2.mp4', 'a/10.mp4', 'b/1.mp4'):
        with VideoWriter(tmp_path / name, 5, 'mp4v') as writer:
            writer.write(np.zeros((16, 16, 3), np.uint8))
    for t in range(2):
        write_image(tmp_path / f'b/frames/{t}.png', np.zeros((16, 16, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _folders(arguments: list[str]) -> list[str]:
    return [str(job.folder) for job in plan_videos(arguments, 'out')]


def test_one_video_has_the_folder_to_itself(clips):
    assert _folders(['a/1.mp4']) == _folders(['b/frames']) == _folders([str(clips / 'a/1.mp4')]) == ['out']


def test_several_have_folders_of_their_names(clips):
    assert _folders(['a/2.mp4', 'b/frames']) == ['out/2', 'out/frames']
    assert _folders(['a/1.mp4', 'b/1.mp4', 'a/2.mp4']) == ['out/1', 'out/1_2', 'out/2']
    assert _folders(['a/1.mp4', 'a/1.mp4']) == ['out/1']  # one video, named twice


def test_a_pattern_is_taken_in_natural_order(clips):
    assert _folders(['a/*.mp4']) == ['out/1', 'out/2', 'out/10']
    assert _folders(['a/10*']) == ['out/10']  # a pattern that fits one file has a folder too
    assert _folders(['**/1.mp4']) == ['out/1', 'out/1_2']
    assert _folders(['b/*', 'a/2.mp4']) == ['out/1', 'out/frames', 'out/2']
    (clips / 'odd[1].mp4').write_bytes((clips / 'a/1.mp4').read_bytes())
    assert _folders(['odd[1].mp4']) == ['out']  # a file of that name


def test_what_is_missing_is_named(clips):
    with pytest.raises(FileNotFoundError, match='none.mp4: no such video file'):
        plan_videos(['a/1.mp4', 'none.mp4'], 'out')
    with pytest.raises(FileNotFoundError, match=r'c/\*\.mp4: no file or folder fits'):
        plan_videos(['c/*.mp4'], 'out')
    with pytest.raises(VideoError, match=r'single pictures.*name their folder: b/frames'):
        plan_videos(['b/frames/*.png'], 'out')
    with pytest.raises(VideoError, match=r'no images .*but videos such as 1\.mp4'):
        plan_videos(['a'], 'out')
    (clips / 'a/notes.txt').write_text('no video')
    with pytest.raises(VideoError, match='notes.txt: OpenCV .* finds no video frames'):
        plan_videos(['a/*'], 'out')


def test_outputs_that_cannot_be_written_are_told(clips):
    (clips / 'out/2/overlay.mp4').mkdir(parents=True)
    with pytest.raises(OSError, match='--out out/2/overlay.mp4: is a folder'):
        plan_videos(['a/*.mp4'], 'out')
    assert len(plan_videos(['a/*.mp4'], 'out', write_video=False)) == 3
    (clips / 'file').write_text('')
    for arguments in (['a/1.mp4'], ['a/*.mp4']):
        with pytest.raises(OSError, match='--out file'):
            plan_videos(arguments, 'file')


def test_an_output_is_checked_before_a_video_is_opened(clips, monkeypatch):
    (clips / 'file').write_text('')
    monkeypatch.setattr(cv2, 'VideoCapture', lambda *_: pytest.fail('opened'))
    for arguments in (['0'], ['0', '1']):
        with pytest.raises(OSError, match='--out file'):
            plan_videos(arguments, 'file')


CONFIG = str(ROOT / 'configs/demo/maskprop_tiny_synthetic.py')
CASES = [
    (['none.py', 'weights.pth', 'a/1.mp4'], 'config none.py: no such file'),
    ([CONFIG, 'none.pth', 'a/1.mp4'], 'checkpoint none.pth: no such file'),
    (['mask_rcnn_r50_cocoo', 'x.pth', 'a/1.mp4'], 'did you mean mask_rcnn_r50_coco?'),
    ([CONFIG, 'weights.pth', 'none.mp4'], 'none.mp4: no such video'),
    ([CONFIG, 'weights.pth', 'weights.pth'], 'finds no video frames'),
    ([CONFIG, 'weights.pth', 'a/1.mp4', '--frobnicate'], 'unrecognized arguments: --frobnicate'),
    ([CONFIG, 'weights.pth', 'a/1.mp4', '--cfg-options', 'a'], '--cfg-options a: expected KEY=VALUE'),
    ([CONFIG, 'weights.pth', 'a/1.mp4', '--save', 'avi'], "invalid choice: 'avi'"),
    (
        [CONFIG, 'weights.pth', 'a/1.mp4', '--frame-stride', '0'],
        '--frame-stride: 0: expected a whole number from 1 to 100000',
    ),
    ([CONFIG, 'weights.pth', 'a/1.mp4', '--out', 'weights.pth'], '--out weights.pth'),
]
# runs the tool with each list of arguments, prints what it says, and at the end whether torch was imported
TOOL = """
import contextlib, io, json, runpy, sys
tool, cases = sys.argv[1], json.loads(sys.argv[2])
for case in cases:
    sys.argv, errors = [tool, '--out', 'out', *case], io.StringIO()
    with contextlib.redirect_stderr(errors):
        try:
            runpy.run_path(tool, run_name='__main__')
        except SystemExit as error:
            print(json.dumps(errors.getvalue() + str(error)))
print('torch' in sys.modules, 'mmdet' in sys.modules)
"""


@pytest.mark.xdist_group('processes')
def test_the_tool_tells_what_is_wrong_before_torch_is_imported(clips):
    (clips / 'weights.pth').write_bytes(b'weights')
    arguments = [str(ROOT / 'tools/infer_video.py'), json.dumps([case for case, _ in CASES])]
    command = [sys.executable, '-c', TOOL, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=child_environment())
    *told, imported = done.stdout.splitlines()
    assert imported == 'False False', done.stderr
    for (case, message), words in zip(CASES, map(json.loads, told), strict=True):
        assert message in words, (case, words)


def _run_tool(monkeypatch, infer, *arguments: str) -> None:
    """The tool with another function in place of the model's run."""
    monkeypatch.setattr('maskprop.apis.init_model', lambda *_: None)
    monkeypatch.setattr('maskprop.apis.infer_video_to_folder', infer)
    monkeypatch.setattr(sys, 'argv', ['infer_video.py', CONFIG, 'weights.pth', *arguments, '--out', 'out'])
    runpy.run_path(str(ROOT / 'tools/infer_video.py'), run_name='__main__')


@pytest.mark.parametrize('error', [VideoError('frame 7 cannot be decoded'), TypeError('frame 7 cannot be drawn')])
def test_a_video_that_fails_does_not_stop_the_others(clips, monkeypatch, capsys, error):
    (clips / 'weights.pth').write_bytes(b'weights')

    def infer(model, source, folder, **options):
        if source.name == '2':
            raise error
        return f'{source.name} is in {folder} with {options["save"]}, {options["upscale"]}'

    with pytest.raises(SystemExit, match='1 of 3 videos failed: 2'):
        _run_tool(monkeypatch, infer, 'a/*.mp4', '--save', 'csv', 'coco', '--scale', '2')
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [f"{n} is in out/{n} with ['csv', 'coco'], 2" for n in (1, 10)]
    assert 'infer_video.py: error: ' in printed.err and str(error) in printed.err


def test_a_video_that_cannot_be_opened_does_not_stop_the_others(clips, monkeypatch, capsys):
    """Told before the model is loaded, and counted at the end; names of the others stay as they are."""
    (clips / 'weights.pth').write_bytes(b'weights')
    for folder, side in (('mixed', 32), ('c/2', 16)):
        write_image(clips / folder / '0.png', np.zeros((16, 16, 3), np.uint8))
        write_image(clips / folder / '1.png', np.zeros((side, side, 3), np.uint8))
    (clips / 'broken').mkdir()
    (clips / 'broken/2.mp4').write_text('no video')
    (clips / 'out').mkdir()
    (clips / 'out/10').write_text('a file in the place of a folder')
    with pytest.raises(SystemExit, match='3 of 6 videos failed: mixed, 2, 10$'):
        done = lambda model, source, folder, **options: str(folder)  # noqa: E731
        _run_tool(monkeypatch, done, 'mixed', 'a/1.mp4', 'broken/2.mp4', 'a/2.mp4', 'a/10.mp4', 'c/2')
    printed = capsys.readouterr()
    assert printed.out.split() == ['out/1', 'out/2_2', 'out/2_3']
    for message in (
        'mixed/1.png: 32x32 after frames of 16x16',
        'broken/2.mp4: OpenCV',
        '--out out/10/results.json',
    ):
        assert message in printed.err
    assert not (clips / 'out/mixed').exists()
    monkeypatch.setattr('maskprop.apis.init_model', lambda *_: pytest.fail('loaded'))
    with pytest.raises(SystemExit, match='2 of 2 videos failed: mixed, 2$'):
        _run_tool(monkeypatch, None, 'mixed', 'broken/2.mp4')


def test_a_scale_whose_frames_are_too_large_is_told_before_the_model_is_loaded(clips):
    assert len(plan_videos(['a/1.mp4'], 'out', upscale=512)) == 1
    for source in ('a/1.mp4', 'b/frames'):
        with pytest.raises(VideoError, match='--scale 513: frames of .* are 16x16, .* 8208x8208; .* 512 at most'):
            plan_videos([source], 'out', upscale=513)
    assert len(plan_videos(['a/1.mp4'], 'out', upscale=513, write_video=False)) == 1


def test_what_is_read_is_not_replaced(clips):
    (clips / 'a/overlay.mp4').write_bytes((clips / 'a/1.mp4').read_bytes())
    with pytest.raises(FileExistsError, match='--out a/overlay.mp4: is read by this command'):
        plan_videos(['a/overlay.mp4'], 'a')
    with pytest.raises(FileExistsError, match='--out b/frames/overlay.mp4: is read by this command'):
        (clips / 'b/frames/overlay.mp4').write_bytes((clips / 'a/1.mp4').read_bytes())
        plan_videos(['b/frames', 'b/frames/overlay.mp4'], 'b')
    (clips / 'b/masks').mkdir()
    (clips / 'b/frames').rename(clips / 'b/masks/frames')
    with pytest.raises(FileExistsError, match='--out b/masks: is read by this command'):
        plan_videos(['b/masks/frames'], 'b', save=['masks'])
    assert len(plan_videos(['b/masks/frames'], 'b', save=['mots'])) == 1


def test_ctrl_c_in_a_file_is_one_line(clips, monkeypatch):
    (clips / 'weights.pth').write_bytes(b'weights')

    def infer(*_, **__):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match='infer_video.py: 1: interrupted; nothing of it was written'):
        _run_tool(monkeypatch, infer, 'a/1.mp4')
