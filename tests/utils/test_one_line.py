from __future__ import annotations

import sys
import warnings

import pytest

from maskprop.analysis.figures import plain
from maskprop.analysis.report import Report
from maskprop.commands import run
from maskprop.datasets.json_files import AnnotationError
from maskprop.utils import boundary, quiet
from maskprop.utils.text import escaped, one_line, plural


@pytest.mark.parametrize(
    'text, expected',
    [('a b', 'a b'), ('é狗', 'é狗'), ('a\nb\rc\t', 'a b c '), ('a\u2028b\x1b', 'a b '), ('\u200ea', ' a')],
)
def test_one_line(text, expected):
    assert one_line(text) == expected
    assert one_line('\u200ea', keep='\u200e') == '\u200ea'


@pytest.mark.parametrize(
    'text, expected',
    [
        ('a b', 'a b'),
        ('a\nb\r\tc\x1b\0', r'a\nb\r\tc\x1b\x00'),
        ('a\u2028\x85b\udc80', r'a\u2028\x85b\udc80'),
        ('é狗\u3000\u200c\xa0\\n', 'é狗\u3000\u200c\xa0\\n'),  # spaces and joiners of names stay
    ],
)
def test_what_is_escaped(text, expected):
    assert escaped(text) == expected == escaped(expected)


def ends_with(error: Exception, capsys) -> str:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit):
        boundary.run(fail)
    return capsys.readouterr().err.strip()


def test_errors_are_in_the_lines_that_they_say(capsys):
    """A name of several lines adds none, and an error of several lines keeps its own."""
    assert ends_with(AnnotationError('a\nb.json: bad'), capsys).endswith(r'error: a\nb.json: bad')
    assert ends_with(AnnotationError('a\nb: 1', 'a\nb: 2'), capsys).endswith('error: a\\nb: 1\na\\nb: 2')
    assert str(AnnotationError('1', '2')) == '1\n2' and str(AnnotationError('1')) == '1'
    assert ends_with(OSError('a\nb: full'), capsys).endswith(r'error: a\nb: full')


def test_warnings_and_reports(tmp_path):
    with quiet.quiet_screen():
        assert warnings.formatwarning('a\nb: old', UserWarning, '', 1) == 'warning: a\\nb: old\n'
    report = Report('a\nb')
    report.heading('c\nd')
    report.text('e\nf')
    report.table(['g\nh'], [['i\nj']])
    report.write(tmp_path / 'report.html')
    page = (tmp_path / 'report.html').read_text()
    assert all(rf'>{pair}<' in page for pair in (r'a\nb', r'c\nd', r'e\nf', r'g\nh', r'i\nj'))
    assert plain('a\n$b') == r'a\n\$b'


ODD = 'a\nb\tc'
SAYS = {
    'check': [f'{ODD}/none.json'],
    'split': [f'{ODD}/none.json', '--val-videos', '1'],
    'eval': [f'{ODD}/none.json', f'{ODD}/results.json'],
    'export': [f'{ODD}/none.json', f'{ODD}/out', '--to', 'coco'],
    'import': [f'{ODD}/none', f'{ODD}/out.json'],
    'analyze': ['results', f'{ODD}/none.json', f'{ODD}/results.json', '--out', f'{ODD}/out'],
}


@pytest.mark.parametrize('name', SAYS)
def test_commands_name_an_odd_folder_in_one_line(name, tmp_path, monkeypatch, capsys):
    (tmp_path / ODD).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [f'maskprop {name}', *SAYS[name]])
    with pytest.raises(SystemExit):
        run(name)
    printed = capsys.readouterr()
    assert sum(r'a\nb\tc/none' in line for line in (printed.out + printed.err).splitlines()) >= 1
    assert ODD not in printed.out + printed.err


def test_plural():
    assert plural(1, 'video') == '1 video' and plural(0, 'video') == '0 videos'
    found = [plural(2000, name) for name in ('frame', 'class', 'category')]
    assert found == ['2,000 frames', '2,000 classes', '2,000 categories']
