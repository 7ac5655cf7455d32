"""tools/oracle.py: the table, the file it writes, and complaints before the model is built."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch

import maskprop

maskprop.register_all()

from maskprop.engine import cli  # noqa: E402
from tests.apis.oracle_set import FRAMES, change, write_oracle_set  # noqa: E402
from tests.engine.tiny_config import MASKPROP, tiny_config  # noqa: E402

pytestmark = pytest.mark.slow

TOOL = vars(import_module('maskprop.commands.oracle'))
CLASSES = ['square', 'wide', 'never seen']


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_oracle_set(tmp_path_factory.mktemp('set'))


@pytest.fixture(scope='module')
def files(root) -> list[str]:
    """Config and checkpoint of random weights."""
    from mmdet.registry import MODELS

    options = {
        'model__detector__test_cfg__rcnn__score_thr': 0.0,
        'model__detector__test_cfg__rcnn__max_per_img': 3,
    }
    cfg = tiny_config(root, root / 'work', MASKPROP, **options)
    cfg.dump(str(root / 'oracle.py'))
    save(root, MODELS.build(cfg.model), CLASSES)
    return [str(root / 'oracle.py'), str(root / 'weights.pth')]


def save(root: Path, model: torch.nn.Module, classes: list[str], name: str = 'weights') -> str:
    meta = dict(dataset_meta=dict(classes=classes, category_ids=[1, 5, 9]))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), root / f'{name}.pth')
    return str(root / f'{name}.pth')


def run(*args: str) -> None:
    cli.run(TOOL['study'], lambda: TOOL['parse_args'](list(args)))


def test_prints_the_table_and_writes_the_rows(files, tmp_path, capsys, monkeypatch):
    from maskprop.apis import oracle

    calls, real = [], oracle.oracle_frames
    monkeypatch.setattr(oracle, 'oracle_frames', lambda *args: calls.append(args[3]) or real(*args))
    out = tmp_path / 'new' / 'rows.json'
    run(*files, '--out', str(out), '--frame-stride', '2', '--box-iou', '0.6')
    rows = json.loads(out.read_text())
    assert [path.name for path in out.parent.iterdir()] == ['rows.json']
    assert [row['name'] for row in rows] == ['model', 'box', 'class', 'mask', 'track']
    assert {(row['frame_stride'], row['box_iou']) for row in rows} == {(2, 0.6)}
    assert calls == [0.6] * (3 * FRAMES // 2)  # once a frame
    assert rows[-1]['AP'] == pytest.approx(1, abs=1e-12)
    printed = capsys.readouterr().out
    assert '3 of 3 videos' in printed and 'stays below 100' not in printed
    last = printed[printed.index('Box') :].splitlines()[5].split()
    gain = 100 * (rows[4]['AP'] - rows[3]['AP'])
    assert last == ['x'] * 4 + ['100.0'] * 3 + [f'{gain:+.1f}', '100.0', '+14.7']


def test_table_has_the_papers_numbers():
    """Table 1: 36.8, +5.1, +11.2, +32.2, +14.7."""
    from maskprop.apis.oracle import ROWS, format_table

    rows = [dict(AP=0.1, AP50=0.2, AP75=0.05, gain=None, paper_AP=row.paper / 100) for row in ROWS]
    rows[1].update(AP=0.0512, gain=-0.0488)
    lines = [line.split() for line in format_table(rows).splitlines()]
    assert lines[2] == ['-'] * 4 + ['10.0', '20.0', '5.0', '36.8']
    assert lines[3] == ['x', '-', '-', '-', '5.1', '20.0', '5.0', '-4.9', '41.9', '+5.1']
    assert [line[-2:] for line in lines[4:7]] == [['53.1', '+11.2'], ['85.3', '+32.2'], ['100.0', '+14.7']]
    assert 'MaskTrack R-CNN' in format_table(rows).splitlines()[-1]


def strip(content: dict) -> None:
    content['annotations'] = None


def crop(content: dict) -> None:
    """An object without a mask."""
    nothing = [None] * FRAMES
    content['annotations'].append(
        dict(id=99, video_id=2, category_id=1, iscrowd=0, segmentations=nothing, bboxes=nothing, areas=nothing)
    )


def test_a_set_without_annotations_is_refused_before_the_model_is_built(root, files, capsys, monkeypatch):
    monkeypatch.setattr('maskprop.apis.init_model', lambda *_: pytest.fail('built'))
    file = change(root, 'stripped', strip)
    with pytest.raises(SystemExit):
        run(*files, '--cfg-options', f'test_dataloader.dataset.ann_file={file}')
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f'{file}: no annotated object' in line
    assert 'test_dataloader.dataset.ann_file=annotations/val.json' in line  # the config's validation set
    assert 'img_path=val/JPEGImages' in line


def test_an_object_without_a_mask_is_named(root, files, capsys):
    file = change(root, 'cropped', crop)
    run(*files, '--cfg-options', f'test_dataloader.dataset.ann_file={file}')
    assert f'{file}: objects without a mask in any frame: 1;' in capsys.readouterr().out


def test_other_classes_are_refused(root, files, capsys):
    weights = torch.load(files[1], weights_only=True)
    weights['meta']['dataset_meta']['classes'] = ['wide', 'square', 'never seen']
    torch.save(weights, root / 'other.pth')
    with pytest.raises(SystemExit):
        run(files[0], str(root / 'other.pth'))
    assert 'the model was trained on the classes' in capsys.readouterr().err


@pytest.mark.parametrize(
    'args, message',
    [
        (['nowhere.pth'], 'nowhere.pth: no such file'),
        (['weights.pth', '--box-iou', '0'], '--box-iou 0.0: expected'),
        (['weights.pth', '--frame-stride', '0'], '--frame-stride: 0: expected'),
    ],
)
def test_bad_arguments(files, capsys, args, message):
    with pytest.raises(SystemExit):
        run(files[0], *(files[1] if word == 'weights.pth' else word for word in args))
    assert message in capsys.readouterr().err
