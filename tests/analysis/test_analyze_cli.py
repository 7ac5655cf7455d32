"""tools/analyze.py: its files, pages that load nothing, and one line for what cannot be analysed."""

from __future__ import annotations

import csv
import html.parser
import json
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from maskprop.analysis.report import Report, percent
from maskprop.analysis.results import AnalysisOptions, _largest, report_results
from maskprop.evaluation import write_results
from tests.analysis.test_curves import train, val, write_scalars
from tests.analysis.test_errors import LEFT, PIECES, RIGHT_ONES, mixed
from tests.analysis.video_cases import SIZE, make_truth, result

TOOL = vars(import_module('maskprop.commands.analyze'))
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')


class Page(html.parser.HTMLParser):
    """What a page shows, and all that it would load."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.pictures = 0
        self.open: list[str] = []
        self.text = path.read_text(encoding='utf-8')
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        if tag not in ('img', 'meta'):
            self.open.append(tag)
        for name, value in attributes:
            if name in ('src', 'href', 'srcset', 'data'):
                self.pictures += value.startswith('data:image/')
                self.loads += [] if value.startswith('data:') else [value]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope='module')
def files(tmp_path_factory) -> Path:
    """gt.json, a.json (with errors of every kind), b.json (without most), images/."""
    folder = tmp_path_factory.mktemp('analyze')
    gt, wrong = mixed()
    gt['categories'][0]['name'] = '<b>cat</b> $x_1$'
    (folder / 'gt.json').write_text(json.dumps(gt))
    write_results(folder / 'a.json', [*wrong.values(), *PIECES[:2], *RIGHT_ONES])
    write_results(folder / 'b.json', [*PIECES, *RIGHT_ONES])
    for video in gt['videos']:
        for name in video['file_names']:
            (folder / 'images' / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / 'images' / name), np.full((*SIZE, 3), 120, np.uint8))
    write_scalars(folder / 'run', 'start', [train(10, 4.0), train(20, 3.0), val(0.2)])
    return folder


def analyze(*args: object) -> int:
    return TOOL['main'](list(map(str, args)))


def check_page(path: Path, pictures: int) -> Page:
    page = Page(path)
    assert not page.loads and not page.open and 'url(' not in page.text and '<script' not in page.text
    assert page.pictures == pictures
    return page


def rows_of(path: Path) -> list[dict]:
    with path.open(newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_results(files, tmp_path, capsys):
    out = tmp_path / 'out'
    assert analyze('results', files / 'gt.json', files / 'a.json', '--images', files / 'images', '--out', out) == 0
    printed = capsys.readouterr().out
    assert f'report: {out}/report.html' in printed and 'id' in printed and 'no strips' not in printed
    page = check_page(out / 'report.html', pictures=5)  # kinds, classes, curves, two videos
    assert '&lt;b&gt;cat&lt;/b&gt;' in page.text and '<b>cat' not in page.text
    assert 'not found: class 2 (hidden by an error of kind class)' in page.text
    for picture in ('errors', 'confusion', 'precision_recall', 'video_1', 'video_2'):
        assert cv2.imread(str(out / f'{picture}.png')) is not None, picture
    kinds = {row['kind']: row['count'] for row in rows_of(out / 'errors.csv')}
    assert kinds == dict.fromkeys(kinds, '1') | {'id': '2'} and len(kinds) == 7
    gains = {row['kind']: float(row['AP50_gain']) for row in rows_of(out / 'errors.csv')}
    assert min(gains.values()) >= 0 and gains['missed'] > 0.05
    videos = rows_of(out / 'videos.csv')
    assert [videos[0][name] for name in ('tracks', 'true', 'false', 'missed')] == ['5', '1', '7', '4']
    assert [row['video'] for row in videos] == ['1', '2'] and videos[0]['errors_missed'] == '1'
    assert float(videos[1]['AP']) == pytest.approx(1)
    cat = rows_of(out / 'classes.csv')[0]
    assert [cat[name] for name in ('id', 'tracks', 'true', 'false', 'missed')] == ['1', '3', '2', '1', '1']


def test_tables_and_curves_of_a_results_file(files, tmp_path, monkeypatch):
    """Videos by AP, though the second one is the worst; confusion by row; precision at the IoU of the legend."""
    gt, wrong = mixed()
    write_results(tmp_path / 'c.json', [RIGHT_ONES[0], wrong['class']])  # nothing of video 2
    drawn = {}
    monkeypatch.setattr(
        'maskprop.analysis.results.draw_grid', lambda names, draw, *_, **__: drawn.update(names=names, draw=draw)
    )
    for name in ('save', 'draw_bars', 'draw_confusion'):
        monkeypatch.setattr(f'maskprop.analysis.results.{name}', lambda *_: None)
    monkeypatch.setattr(Report, 'picture', lambda *_: None)
    options = AnalysisOptions(min_score=0.95)
    page, found = report_results(files / 'gt.json', tmp_path / 'c.json', tmp_path / 'out', options)
    assert [row['video'] for row in rows_of(page.parent / 'videos.csv')] == ['2', '1']
    assert (
        'Video 2' in page.read_text() and 'class 3 0.90' not in page.read_text()
    )  # of a lower score than is shown
    confusion = rows_of(page.parent / 'confusion.csv')
    assert confusion[0]['missed'] == '2' and list(confusion[-1].values())[0] == 'nothing there'
    gt = make_truth([[(1, [LEFT]), (2, [(30, 5, 40, 30)])]], classes=2)  # a small and a medium object
    (tmp_path / 'two.json').write_text(json.dumps(gt))
    rows = [result(1, 1, 0.9, [(*LEFT[:3], 15)]), result(1, 2, 0.8, [(30, 5, 40, 15)])]  # IoU .75 and .5
    write_results(tmp_path / 'd.json', rows)
    _, found = report_results(tmp_path / 'two.json', tmp_path / 'd.json', tmp_path / 'out')
    axes = Figure().add_subplot()
    drawn['draw'](axes, 'all classes')
    assert [line.get_label() for line in axes.lines] == ['IoU 0.5: AP 100.0', 'IoU 0.75: AP 50.0']
    for line, ap in zip(axes.lines, (found.video_ap['AP50'], found.video_ap['AP75']), strict=True):
        assert line.get_ydata().mean() == pytest.approx(ap)
    several = [['few', 'many', 'some'], np.diag([1, 3, 2, 0])]
    monkeypatch.setattr('maskprop.analysis.results.MOST_CLASSES', 2)
    names, table = _largest(*several)
    assert names == ['many', 'some'] and np.diag(table).tolist() == [3, 2, 0]
    # curves too are those of the classes with most tracks
    tracks = [(category, [box]) for category, box in ((1, LEFT), (2, (30, 5, 40, 15)), (2, (30, 25, 40, 15)))]
    (tmp_path / 'two.json').write_text(json.dumps(make_truth([tracks], classes=2)))
    monkeypatch.setattr('maskprop.analysis.results.MOST_CLASSES', 1)
    report_results(tmp_path / 'two.json', tmp_path / 'd.json', tmp_path / 'out_of_most')
    assert drawn['names'] == ['all classes', 'class 2']


def test_texts_are_escaped_and_shares_are_percent(tmp_path):
    report = Report('<a>')
    report.heading('<h>')
    report.text('<b>')
    report.table(['<c>'], [['<d>']])
    report.write(tmp_path / 'page.html')
    text = (tmp_path / 'page.html').read_text()
    assert all(f'&lt;{letter}&gt;' in text and f'<{letter}>' not in text for letter in 'abcd')
    assert [percent(0.256), percent(0.256, sign=True), percent(-1.0), percent(None)] == ['25.6', '+25.6', '-', '-']


@pytest.mark.slow
def test_compare(files, tmp_path, capsys):
    out = tmp_path / 'out'
    args = ['--images', files / 'images', '--resamples', 20, '--out', out]
    assert analyze('compare', files / 'gt.json', files / 'b.json', files / 'a.json', *args) == 0
    printed = capsys.readouterr().out
    assert f'report: {out}/report.html' in printed and 'numbers differ clearly' in printed
    check_page(out / 'report.html', pictures=2)  # differences, the one video that differs
    found = {row['number']: row for row in rows_of(out / 'differences.csv')}
    assert float(found['AP']['difference']) < -0.05 and 'AP of class 2' in found and 'smoothness' in found
    assert all(
        float(row['B']) - float(row['A']) == pytest.approx(float(row['difference'])) for row in found.values()
    )
    assert {'HOTA', 'sMOTSA', 'IDSW', 'IDF1', 'HOTA of class 2'} <= found.keys()
    assert [row['video'] for row in rows_of(out / 'videos.csv')] == ['1', '2']


@pytest.mark.slow
def test_curves(files, tmp_path, capsys):
    assert analyze('curves', files / 'run', '--out', tmp_path / 'out') == 0
    assert 'report.html' in capsys.readouterr().out
    check_page(tmp_path / 'out' / 'report.html', pictures=3)


@pytest.mark.slow
def test_one_video_and_hundreds_of_classes(files, tmp_path, capsys):
    gt, wrong = mixed()
    gt['videos'], gt['annotations'] = gt['videos'][:1], [a for a in gt['annotations'] if a['video_id'] == 1]
    gt['categories'] += [dict(id=i, name=f'other {i}') for i in range(4, 400)]
    (tmp_path / 'gt.json').write_text(json.dumps(gt))
    for name, records in (('a', wrong.values()), ('b', RIGHT_ONES[:1])):
        write_results(tmp_path / f'{name}.json', records)
    out = tmp_path / 'out'
    assert analyze('results', tmp_path / 'gt.json', tmp_path / 'a.json', '--out', out) == 0
    assert 'no film strips: give the folder of the frames by --images' in capsys.readouterr().out
    assert len(rows_of(out / 'classes.csv')) == 3
    out = tmp_path / 'compared'
    assert analyze('compare', tmp_path / 'gt.json', tmp_path / 'a.json', tmp_path / 'b.json', '--out', out) == 0
    assert 'One video cannot be resampled' in (out / 'report.html').read_text()
    assert 'other' not in (out / 'differences.csv').read_text()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(set={'annotations': []}), 'no annotations, so video AP cannot be computed'),
        (dict(results=[]), 'the list of results is empty. Was the model run'),
        (
            dict(results=[{**RIGHT_ONES[0], 'video_id': 99}]),
            'no video 99. Were these results made for another',
        ),
        (dict(results={'AP': 1.0}), 'Results must be a list'),
        (dict(args=['--images', 'no/such/folder']), 'no such image. Give the folder that file_names of'),
        (dict(args=['--frame-stride', '2']), '4 entries, but video 1 has 2 frames'),
        (dict(results=[{**RIGHT_ONES[0], 'category_id': 99}]), 'does not list: 99 (1)'),
    ],
    ids=['no truth', 'empty', 'another set', 'a dict', 'no images', 'stride', 'a class'],
)
def test_what_cannot_be_analysed_ends_in_one_line(files, tmp_path, capsys, change, message):
    gt = {**json.loads((files / 'gt.json').read_text()), **change.get('set', {})}
    (tmp_path / 'gt.json').write_text(json.dumps(gt))
    (tmp_path / 'r.json').write_text(json.dumps(change.get('results', json.loads((files / 'a.json').read_text()))))
    args = ['results', tmp_path / 'gt.json', tmp_path / 'r.json', '--out', tmp_path / 'out']
    assert analyze(*args, *change.get('args', [])) == 1
    error = capsys.readouterr().err
    assert ': error: ' in error and message in error and error.count('\n') == 1
    assert not list((tmp_path / 'out').iterdir())  # said before anything is drawn


def test_a_file_compared_with_itself_is_refused(files, tmp_path, capsys):
    args = [files / 'gt.json', files / 'a.json', files / 'a.json', '--out', tmp_path]
    assert analyze('compare', *args) == 1
    assert 'given twice. Name two results files.' in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.xdist_group('processes')
def test_the_page_opens_in_a_browser(files, tmp_path):
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f'none of {", ".join(BROWSERS)} is installed')
    analyze('results', files / 'gt.json', files / 'a.json', '--images', files / 'images', '--out', tmp_path)
    shot = tmp_path / 'shot.png'
    command = [browser, '--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars']
    command += [f'--user-data-dir={tmp_path}/profile', '--window-size=1000,3000', f'--screenshot={shot}']
    done = subprocess.run([*command, f'file://{tmp_path}/report.html'], capture_output=True, timeout=240)
    if not shot.exists():
        pytest.skip(f'{browser} takes no screenshots here: {done.stderr[-300:]!r}')
    picture = cv2.imread(str(shot))
    assert picture.shape[1] == 1000
    tops = [picture[top : top + 500] for top in range(0, 2500, 500)]
    assert all((part < 128).any() for part in tops)  # text and figures all the way down
    blue = (picture[..., 0] > 150) & (picture[..., 2] < 60)
    assert blue.sum() > 2000  # the bars of the figure of errors
