"""docs/tutorial.md: every command of the page runs, in its order, on two small videos."""

from __future__ import annotations

import json
import re
import shlex
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskprop.commands import main
from maskprop.datasets.ytvis_json import load_ytvis
from maskprop.visualization.video_writer import VideoWriter
from tests.engine.tiny_config import quick_runs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs/tutorial.md').read_text(encoding='utf-8')
COMMANDS = '\n'.join(re.findall(r'^```\n(.*?)^```$', PAGE, re.DOTALL | re.MULTILINE))
SIZE = (48, 80)
FRAMES = 6
# what makes it small; epochs end the name of a checkpoint
SMALL = (
    'train_cfg.max_epochs=1 train_cfg.val_interval=9 train_dataloader.sampler.samples_per_epoch=2 '
    'train_dataloader.batch_size=2 train_dataloader.num_workers=0 train_dataloader.persistent_workers=False'
)


def make_clip(name: str, left: int) -> None:
    """A moving block, its mp4 and CVAT's zip of its task, whose last frame has no object and so no picture."""
    with (
        VideoWriter(f'my_clips/{name}.mp4', fps=6) as writer,
        zipfile.ZipFile(f'my_export/{name}.zip', 'w') as file,
    ):
        file.writestr('instances/labels.txt', 'block\nother\n')
        for number in range(FRAMES):
            frame, mask = np.full((*SIZE, 3), 90, np.uint8), np.zeros(SIZE, np.uint16)
            if number < FRAMES - 1:
                place = slice(10, 34), slice(left + 2 * number, left + 24 + 2 * number)
                frame[place], mask[place] = (40, 60, 220), 1001
                Image.fromarray(mask).save('mask.png')
                file.write('mask.png', f'instances/frame_{number:06d}.png')
            writer.write(frame)


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """A folder with the user's files, and nothing of a checkout."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'my_export').mkdir()
    for name, left in (('a', 2), ('b', 20)):
        make_clip(name, left)
    return tmp_path


@pytest.mark.xdist_group('processes')
def test_the_page(workplace, monkeypatch, capsys):
    names = []
    with quick_runs():
        for command in COMMANDS.replace('epoch_8', 'epoch_1').split('\n'):
            if not command:
                continue
            program, name, *args = shlex.split(command)
            assert program == 'maskprop'
            names.append(name)
            if name == 'train':
                args += ['--cfg-options', *SMALL.split()]
            monkeypatch.setattr(sys, 'argv', [program, name, *args])
            try:
                main()
            except SystemExit as done:
                assert not done.code, (command, capsys.readouterr().err)
    assert names == ['extract', 'import', 'check', 'split', 'train', 'test', 'analyze', 'infer', 'export']
    content = load_ytvis('data/my_videos/all.json')
    present = [[mask is not None for mask in a['segmentations']] for a in content['annotations']]
    assert present == [[True] * (FRAMES - 1) + [False]] * 2
    assert [video['file_names'][0] for video in content['videos']] == ['a/00000.jpg', 'b/00000.jpg']
    for path in (
        'results.json',
        'report/report.html',
        'out/overlay.mp4',
        'out/results.json',
        'work_dirs/my_videos/epoch_1.pth',
    ):
        assert Path(path).is_file(), path
    assert list(Path('shown').rglob('*.mp4')) and list(Path('to_correct').glob('*.xml'))
    assert isinstance(json.loads(Path('results.json').read_text()), list)
