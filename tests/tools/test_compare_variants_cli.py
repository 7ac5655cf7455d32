"""tools/compare_variants.py and eval_propagation.py: what they write, and complaints before the model is built."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

import maskprop

maskprop.register_all()

from maskprop.engine import cli  # noqa: E402
from maskprop.evaluation import load_ground_truth, score_results  # noqa: E402
from tests.apis.oracle_set import change, write_oracle_set  # noqa: E402
from tests.engine.tiny_config import MASKPROP, tiny_config  # noqa: E402

TOOLS = Path(__file__).parents[2] / 'tools'
TOOL = vars(import_module('maskprop.commands.compare_variants'))
QUALITY = vars(import_module('maskprop.commands.eval_propagation'))


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_oracle_set(tmp_path_factory.mktemp('set'))


@pytest.fixture(scope='module')
def files(root) -> list[str]:
    """Config with two variants, and checkpoint of random weights."""
    from mmdet.registry import MODELS

    cfg = tiny_config(root, root / 'work', MASKPROP)
    cfg.variants = dict(plain=dict(), short=dict(clip_radius=1))
    cfg.dump(str(root / 'rows.py'))
    meta = dict(dataset_meta=dict(classes=['square', 'wide', 'never seen'], category_ids=[1, 5, 9]))
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta=meta), root / 'weights.pth')
    return [str(root / 'rows.py'), str(root / 'weights.pth')]


def run(*args: str, monkeypatch) -> None:
    monkeypatch.setattr('sys.argv', ['compare_variants.py', *args])
    cli.run(TOOL['compare'], TOOL['parse_args'])


@pytest.mark.slow
def test_rows_of_each_variant_and_stride(files, tmp_path, capsys, monkeypatch):
    out = tmp_path / 'new' / 'rows.json'
    run(*files, '--ground-truth', '--bootstraps', '0', '--out', str(out), monkeypatch=monkeypatch)
    rows = json.loads(out.read_text())
    # the set's own stride is 1, which is asked for once
    assert [(row['name'], row['frame_stride']) for row in rows] == [('plain', 1), ('short', 1)]
    assert all(0 < row['AP'] <= 1 for row in rows)
    assert '3 of 3 videos' in capsys.readouterr().out


def test_results_are_written_by_variant(files, root, tmp_path, monkeypatch):
    args = ('--ground-truth', '--bootstraps', '0', '--results-dir')
    run(*files, *args, str(tmp_path / 'one'), '--out', str(tmp_path / 'rows.json'), monkeypatch=monkeypatch)
    assert sorted(path.name for path in (tmp_path / 'one').iterdir()) == ['plain.json', 'short.json']
    truth = load_ground_truth(root / 'annotations/val.json')
    rows = {row['name']: row['AP'] for row in json.loads((tmp_path / 'rows.json').read_text())}
    for name, value in rows.items():
        results = json.loads((tmp_path / 'one' / f'{name}.json').read_text())
        assert score_results(truth, results).video_ap['AP'] == value
    strides = ('--frame-strides', '1', '2')
    run(*files, *strides, *args, str(tmp_path / 'two'), monkeypatch=monkeypatch)
    assert (tmp_path / 'two/plain_stride2.json').is_file() and (tmp_path / 'two/short_stride1.json').is_file()


def test_data_takes_the_place_of_the_configs_test_set(files, root, tmp_path, capsys, monkeypatch):
    """A file of two of the set's three videos; its frames are found beside it."""
    other = str(root / change(root, 'two_videos', lambda content: content['videos'].pop()))
    out, results = tmp_path / 'rows.json', tmp_path / 'results'
    args = ('--ground-truth', '--bootstraps', '0', '--out', str(out), '--results-dir', str(results))
    run(*files, '--data', other, *args, monkeypatch=monkeypatch)
    assert f'--data: test: {other} (2 videos' in capsys.readouterr().out
    found = json.loads((results / 'plain.json').read_text())
    videos = json.loads(Path(other).read_text())['videos']
    assert {record['video_id'] for record in found} == {video['id'] for video in videos}


def without_annotations(content: dict) -> None:
    content['annotations'] = None


def without_crowds(content: dict) -> None:
    for record in content['annotations']:
        record.pop('iscrowd', None)


@pytest.mark.parametrize(
    'option, value, expected',
    [
        ('test_dataloader.dataset.ann_file', without_annotations, 'no annotated object'),
        ('variants', 'None', 'no variants'),
        ('test_dataloader.dataset.ann_file', without_crowds, '"iscrowd": is missing'),
    ],
)
def test_what_cannot_be_compared_is_refused_first(root, files, option, value, expected, capsys, monkeypatch):
    monkeypatch.setattr('maskprop.apis.init_model', lambda *_: pytest.fail('built'))
    value = change(root, value.__name__, value) if callable(value) else value
    with pytest.raises(SystemExit):
        run(*files, '--cfg-options', f'{option}={value}', monkeypatch=monkeypatch)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert expected in line


def test_a_missing_checkpoint_is_named(files, capsys, monkeypatch):
    with pytest.raises(SystemExit):
        run(files[0], 'nowhere.pth', monkeypatch=monkeypatch)
    assert 'checkpoint nowhere.pth: no such file' in capsys.readouterr().err


@pytest.mark.slow
def test_propagation_quality(root, files, tmp_path, capsys, monkeypatch):
    out = tmp_path / 'new/quality.json'
    cli.run(QUALITY['evaluate'], QUALITY['parse_args']([*files, '--gaps', '1', '2', '--out', str(out)]))
    found = json.loads(out.read_text())
    assert set(found) == {'propagated', 'copied', 'shifted'} and set(found['copied']) == {'1', '2'}
    assert all(0 <= value <= 1 for by_gap in found.values() for value in by_gap.values())
    assert 'gap 1-3' in capsys.readouterr().out
    monkeypatch.setattr('maskprop.apis.init_model', lambda *_: pytest.fail('built'))
    option = f'test_dataloader.dataset.ann_file={change(root, "stripped", without_annotations)}'
    with pytest.raises(SystemExit):
        cli.run(QUALITY['evaluate'], QUALITY['parse_args']([*files, '--cfg-options', option]))
    assert 'no annotated object' in capsys.readouterr().err


@pytest.mark.parametrize('option', ['--gaps', '--frame-stride', '--every'])
def test_counts_below_1_are_refused(files, option, capsys):
    with pytest.raises(SystemExit):
        QUALITY['parse_args']([*files, option, '0'])
    assert f'{option}: 0: expected a whole number ' in capsys.readouterr().err


def test_bootstraps_below_0_are_refused(files, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['compare_variants.py', *files, '--bootstraps', '-1'])
    with pytest.raises(SystemExit):
        TOOL['parse_args']()
    assert '--bootstraps: -1: expected a whole number from 0 to 100000' in capsys.readouterr().err
