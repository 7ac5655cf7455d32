"""Numbers of a table against ones computed by hand and by scoring the sets one by one."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from statistics import mean, stdev

import pytest
from mmengine.config import Config

from maskprop.ablation.jobs import Job
from maskprop.ablation.plots import write_plot
from maskprop.ablation.study import Row, Study, slug
from maskprop.ablation.tables import (
    RowCost,
    RowScores,
    format_csv,
    format_table,
    level_seconds,
    mean_and_spread,
    score_study,
    write_tables,
)
from maskprop.evaluation import evaluate_video_ap, load_ground_truth
from tests.helpers import write_tiny_ytvis

ROWS = (
    Row('perfect', x=2, paper=dict(AP=46.6, AP75=51.2)),
    Row('every other track', x=1, paper=dict(AP=44.7)),
    Row('nothing', x=3),
)


def make_study(**keys) -> Study:
    return Study(
        'study', 'study.py', Config(), 'A title', ROWS, seeds=(1, 2), frame_stride=2, bootstraps=50, **keys
    )


@pytest.fixture(scope='module')
def table(tmp_path_factory) -> Job:
    """A table's job with results made of the annotations."""
    folder = tmp_path_factory.mktemp('tables')
    study, tests = make_study(paper='of a paper', note='A note.'), []
    for seed in study.seeds:
        root = write_tiny_ytvis(folder / f'set{seed}', videos=4, seed=seed)
        file = root / 'annotations/val.json'
        cfg = Config(dict(test_dataloader=dict(dataset=dict()), test_evaluator=dict(ann_file=str(file))))
        details = dict(cfg=cfg, seed=seed, rows={row.name: {} for row in ROWS}, name=f'results/{seed}')
        test = Job('test', folder / f'results/{seed}', {}, [], details)
        test.write_record(30.0 * seed, done=True)
        annotations = json.loads(file.read_text())['annotations']
        for row, kept in zip(ROWS, (annotations, annotations[::2], []), strict=True):
            results = [
                dict(
                    video_id=a['video_id'], category_id=a['category_id'], score=0.9,
                    segmentations=a['segmentations'][::2],
                )
                for a in kept
            ]  # fmt: skip
            (test.folder / f'{slug(row.name)}.json').write_text(json.dumps(results))
        tests.append(test)
    return Job('table', folder / 'study', {}, tests, dict(study=study, tests=tests, name='study'))


@pytest.fixture(scope='module')
def scores(table) -> list[RowScores]:
    return score_study(table)


def test_each_seed_is_scored_on_its_own_set(table, scores):
    assert scores[0].metrics['AP'] == [1.0, 1.0] and scores[2].metrics['AR10'] == [0.0, 0.0]
    for index, test in enumerate(table.details['tests']):
        truth = load_ground_truth(test.details['cfg'].test_evaluator.ann_file, 2)
        found = evaluate_video_ap(truth, json.loads((test.folder / 'every_other_track.json').read_text()))
        assert 0 < found['AP'] < 1
        for metric, values in scores[1].metrics.items():
            assert values[index] == found[metric]


@pytest.mark.parametrize('synthetic, positive', [({}, 15 / 16), (None, 3 / 4)])
def test_resamples_by_hand(tmp_path, synthetic, positive):
    """Two videos of an object each: the first row misses that of the first, the second row has both.

    A resample has a gain unless it has the second video twice: 1 in 4. With sets of their own two seeds draw
    independently; with one set for all they draw the same.
    """
    root = write_tiny_ytvis(tmp_path / 'set', videos=2, num_categories=1)
    file = root / 'annotations/val.json'
    content = json.loads(file.read_text())
    content['annotations'] = [next(a for a in content['annotations'] if a['video_id'] == v) for v in (1, 2)]
    file.write_text(json.dumps(content))
    cfg = Config(dict(test_dataloader=dict(dataset=dict()), test_evaluator=dict(ann_file=str(file))))
    rows, tests = (Row('one'), Row('both')), []
    for seed in (1, 2):
        details = dict(cfg=cfg, seed=seed, rows={row.name: {} for row in rows}, name=f'{seed}')
        tests.append(Job('test', tmp_path / f'{seed}', {}, [], details))
        tests[-1].folder.mkdir()
        for name, kept in (('one', content['annotations'][1:]), ('both', content['annotations'])):
            keys = ('video_id', 'category_id', 'segmentations')
            results = [dict({key: a[key] for key in keys}, score=0.9) for a in kept]
            (tests[-1].folder / f'{name}.json').write_text(json.dumps(results))
    study = Study(
        's', 's.py', Config(), 'T', rows, seeds=(1, 2), frame_stride=1, bootstraps=1500, synthetic=synthetic
    )
    one, both = score_study(Job('table', tmp_path, {}, tests, dict(study=study, tests=tests, name='s')))
    assert one.gain is None and both.gain == pytest.approx(1 - 51 / 101)  # AP of half the recall, 101 points
    assert both.share_positive == pytest.approx(positive, abs=0.03)
    assert both.interval == (0, 1)


def test_mean_and_spread_by_hand():
    assert mean_and_spread([0.5, 0.6, 0.7]) == pytest.approx((60, 10))  # sqrt((100 + 0 + 100) / 2)
    assert mean_and_spread([0.25]) == (25, None)


def test_table_by_hand(table):
    """Cells of made-up numbers."""
    rows = [
        RowScores(ROWS[0], dict.fromkeys(('AP', 'AP50', 'AP75', 'AR1', 'AR10'), [0.5, 0.6])),
        RowScores(ROWS[1], dict.fromkeys(('AP', 'AP50', 'AP75', 'AR1', 'AR10'), [0.4, 0.4]), -0.15, (-0.2, 0.01)),
    ]
    lines = format_table(table, rows).splitlines()
    heading = [
        '',
        '',
        'AP',
        'AP50',
        'AP75',
        'AR1',
        'AR10',
        'paper AP',
        'paper AP75',
        'AP minus perfect (95 %)',
        '',
    ]
    assert lines[0] == '# A title' and [cell.strip() for cell in lines[2].split('|')] == heading
    first, second = ([cell.strip() for cell in line.split('|')][1:-1] for line in lines[4:6])
    assert first == ['perfect', *['55.0 ± 7.1'] * 5, '46.6', '51.2', '']
    assert second == ['every other track', *['40.0 ± 0.0'] * 5, '44.7', '', '-15.0 (-20.0 to +1.0)']
    text = '\n'.join(lines[6:])
    assert 'it leaves out the variance between trainings' in text
    assert 'seeds 1, 2' in text and '50 resamples' in text and 'of a paper' in text and 'A note.' in text
    assert (
        'test 90 s' not in text
        and 'of the jobs, one after the other, without the start of their processes: test 2 min' in text
        and 'maskprop ablate study.py' in text
    )
    assert level_seconds(table) == {'test': 90.0}


def test_stability_and_costs_have_a_table_of_their_own(table, monkeypatch):
    study = replace(table.details['study'], stability=True, costs=True)
    costs = {row.name: RowCost(12.34, 1000 + n) for n, row in enumerate(ROWS)}
    measured = []
    monkeypatch.setattr('maskprop.ablation.tables.measure_costs', lambda tests: measured.append(tests) or costs)
    job = Job('table', table.folder, {}, table.needs, {**table.details, 'study': study})
    scores = score_study(job)
    assert [[test.details['seed'] for test in tests] for tests in measured] == [[1]]  # a seed is enough
    lines = format_table(job, scores).splitlines()
    start = next(n for n, line in enumerate(lines) if 'id switches' in line)
    cells = [[cell.strip() for cell in line.split('|')][1:-1] for line in lines[start : start + 5]]
    assert cells[0] == [
        '',
        'frame recall',
        'missed frames',
        'smoothness',
        'id switches',
        'frames per second',
        'parameters',
    ]
    assert cells[2] == ['perfect', '100.0 ± 0.0', '0.0 ± 0.0', '0.0 ± 0.0', '0 ± 0', '12.3', '1,000']
    assert cells[4] == ['nothing', '0.0 ± 0.0', '-', '-', '0 ± 0', '12.3', '1,002']
    rows = list(csv.DictReader(io.StringIO(format_csv(job, scores))))
    assert rows[0]['frame_recall'] == '1.0' and rows[-1]['missed_share'] == '' and rows[0]['parameters'] == '1000'


def test_files_are_written_whole(table, scores):
    write_plot(table.folder / 'plot.png', table.details['study'], scores)
    write_tables(table, scores)
    assert sorted(path.name for path in table.folder.iterdir()) == ['plot.png', 'table.csv', 'table.md']
    assert (table.folder / 'plot.png').read_bytes().startswith(b'\x89PNG')
    rows = list(csv.DictReader((table.folder / 'table.csv').open()))
    assert [(row['row'], row['seed']) for row in rows[:3]] == [
        ('perfect', '1'),
        ('perfect', '2'),
        ('every other track', '1'),
    ]
    assert float(rows[2]['AP']) == scores[1].metrics['AP'][0] and float(rows[2]['paper_AP']) == pytest.approx(
        0.447
    )
    values = [float(row['AP']) for row in rows if row['row'] == 'every other track']
    cell = f'{100 * mean(values):.1f} ± {100 * stdev(values):.1f}'
    assert cell in (table.folder / 'table.md').read_text()


@pytest.mark.parametrize('x_label', ['', 'length'])
def test_plot_shows_the_numbers(table, scores, x_label, monkeypatch):
    """What is drawn, read back from the figure."""
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, 'close', lambda figure: None)
    write_plot(table.folder / 'again.png', make_study(x_label=x_label), scores)
    axes = pyplot.gcf().axes[0]
    means = {row.row.name: 100 * mean(row.metrics['AP']) for row in scores}
    if x_label:
        x, y = axes.lines[0].get_data()
        assert list(x) == [1, 2, 3] and list(y) == pytest.approx(
            [means[n] for n in ('every other track', 'perfect', 'nothing')]
        )
        assert axes.get_xlabel() == 'length'
    else:
        assert [bar.get_width() for bar in axes.patches[:3]] == pytest.approx(list(means.values()))
        assert [label.get_text() for label in axes.get_yticklabels()] == list(means)
        papers = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == 'D']
        assert papers == [[46.6, 44.7], [51.2]]
    monkeypatch.undo()
    pyplot.close('all')
