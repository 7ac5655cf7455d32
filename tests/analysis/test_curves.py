"""Scalars of trainings: which files count, what resuming does, and the pictures of tools/analyze.py curves."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from maskprop.analysis.curves import _draw, _summary, report_curves
from maskprop.analysis.scalars import read_run
from maskprop.evaluation.validation import EvalInputError


def write_scalars(run: Path, start: str, lines: list[dict | str]) -> Path:
    path = run / start / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(line if isinstance(line, str) else json.dumps(line) for line in lines) + '\n')
    return path


def train(iteration: int, loss: float, epoch: int = 1) -> dict:
    return dict(lr=0.1, loss=loss, loss_mask=loss / 2, epoch=epoch, iter=iteration, step=iteration)


def val(ap: float, epoch: int = 1) -> dict:
    return dict(AP=ap, AP50=2 * ap, APm=-1.0, time=0.1, step=epoch)


def points(series) -> list[tuple[int, float]]:
    return list(zip(series.iterations, series.values, strict=True))


def test_a_resumed_training_is_one_curve(tmp_path):
    write_scalars(
        tmp_path, '20260101_000000', [train(10, 4.0), val(0.1), train(20, 3.0), train(30, 9.0), val(0.9)]
    )
    write_scalars(tmp_path, '20260102_000000', [train(30, 2.0), val(0.2, 2), '{"loss": 1.0, "it'])
    write_scalars(tmp_path, '20260103_000000', [val(0.7)])  # a test
    run = read_run(tmp_path)
    assert points(run.train['loss']) == [(10, 4.0), (20, 3.0), (30, 2.0)]
    assert points(run.validation['AP']) == [(10, 0.1), (30, 0.2)]
    assert run.loss_names() == ['loss', 'loss_mask']
    assert points(read_run(tmp_path / '20260102_000000').train['loss']) == [(30, 2.0)]


def test_a_second_training_in_the_folder_replaces_the_first(tmp_path):
    write_scalars(tmp_path, '1', [train(10, 4.0), train(20, 3.0), val(0.5)])
    write_scalars(tmp_path, '2', [train(10, 5.0)])
    run = read_run(tmp_path)
    assert points(run.train['loss']) == [(10, 5.0)] and not run.validation


@pytest.mark.slow
def test_report_of_two_runs(tmp_path):
    for name, shift in (('a', 0), ('b', 1)):
        lines = [train(10, 4.0 + shift), train(20, float('nan')), val(0.1 + shift / 10)]
        write_scalars(tmp_path / name, 'start', lines)
    page = report_curves([tmp_path / 'a', tmp_path / 'b'], tmp_path / 'out')
    assert {path.name for path in page.parent.iterdir()} == {
        'report.html', 'losses.png', 'rates.png', 'validation.png', 'scalars.csv'
    }  # fmt: skip
    with open(tmp_path / 'out' / 'scalars.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert {row['run'] for row in rows} == {'a', 'b'}
    found = [row['value'] for row in rows if (row['run'], row['name'], row['split']) == ('b', 'AP', 'val')]
    assert found == ['0.2']
    text = page.read_text(encoding='utf-8')
    assert '<td>20.0</td>' in text and text.count('<img') == 3


def test_a_training_s_best_numbers_and_its_curves_in_percent(tmp_path):
    lines = [train(10, 4.0), val(0.1), train(20, 3.0), val(0.3), train(30, 5.0), val(0.2)]
    write_scalars(tmp_path, 'start', lines)
    run = read_run(tmp_path)
    assert _summary({'a': run}) == [['a', 30, '5.000', '3.000', '30.0', 20]]
    lines = [axes.lines[0] for axes in _draw(['AP'], {'a': run.validation}).axes]
    assert [line.get_ydata().tolist() for line in lines] == [pytest.approx([10, 30, 20])]
    (losses,) = _draw(['loss'], {'a': run.train}).axes
    assert losses.lines[0].get_xydata().tolist() == [[10, 4], [20, 3], [30, 5]]


def test_a_training_without_validation_has_losses_only(tmp_path):
    write_scalars(tmp_path / 'run', 'start', [train(10, 4.0)])
    page = report_curves([tmp_path / 'run'], tmp_path / 'out')
    assert 'no validation' in page.read_text() and not (tmp_path / 'out' / 'validation.png').exists()


@pytest.mark.parametrize(
    ('prepare', 'message'),
    [
        (lambda run: None, 'run: no such folder. Give the work folder of a training'),
        (lambda run: run.mkdir(), 'run: no scalars.json in TIME/vis_data. Give'),
        (
            lambda run: write_scalars(run, 't', [val(0.3)]),
            'no number of a training. Is it the work folder of a test?',
        ),
        (lambda run: write_scalars(run, 't', ['not JSON']), "line 1: found 'not JSON'. Each line must be"),
        (lambda run: write_scalars(run, 't', []), 'no number of a training'),
    ],
    ids=['no folder', 'no file', 'of a test', 'not JSON', 'empty'],
)
def test_runs_without_scalars(tmp_path, prepare, message):
    prepare(tmp_path / 'run')
    with pytest.raises(EvalInputError) as error:
        report_curves([tmp_path / 'run'], tmp_path / 'out')
    assert message in str(error.value) and '\n' not in str(error.value)


def test_names_of_runs(tmp_path):
    for name in ('a/train', 'b/train'):
        write_scalars(tmp_path / name, 'start', [train(10, 4.0)])
    page = report_curves([tmp_path / 'a/train', tmp_path / 'b/train'], tmp_path / 'out')
    assert 'a/train, b/train' in page.read_text()
    with pytest.raises(EvalInputError, match='expected 2 different names'):
        report_curves([tmp_path / 'a/train', tmp_path / 'b/train'], tmp_path / 'out', ['x', 'x'])
