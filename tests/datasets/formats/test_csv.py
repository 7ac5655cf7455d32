"""Tables, as spreadsheets and other programs save them again."""

from __future__ import annotations

import csv

import pytest

from .sources import import_annotations, run_export, run_import
from .test_round_trips import make_set


@pytest.fixture
def table(tmp_path):
    run_export(make_set(tmp_path / 'set.json'), tmp_path / 'table.csv', '--to', 'csv')
    return tmp_path / 'table.csv'


def rows_of(table) -> list[list[str]]:
    with table.open(encoding='utf-8', newline='') as file:
        return list(csv.reader(file))


def save(table, rows, separator: str = ',', encoding: str = 'utf-8') -> None:
    with table.open('w', encoding=encoding, newline='') as file:
        csv.writer(file, delimiter=separator).writerows(rows)


@pytest.mark.parametrize('separator', [';', '\t'])
@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_what_a_spreadsheet_saved(table, tmp_path, separator, encoding):
    expected = import_annotations(table, tmp_path / 'a.json')
    save(table, rows_of(table), separator, encoding)
    assert import_annotations(table, tmp_path / 'b.json') == expected


def test_columns_in_another_order_and_whole_numbers_as_floats(table, tmp_path):
    """As pandas writes columns in which a cell is empty."""
    expected = import_annotations(table, tmp_path / 'a.json')
    first, *rows = rows_of(table)
    for name in ('frame', 'video_height', 'track_id', 'crowd'):
        place = first.index(name)
        for row in rows:
            row[place] += '.0' if row[place] else ''
    save(table, [row[::-1] for row in (first, *rows)])
    assert import_annotations(table, tmp_path / 'b.json') == expected


def test_long_masks_are_read(table, tmp_path, capsys):
    first, *rows = rows_of(table)
    rows[0][-1] = '0' * 200_000
    save(table, (first, *rows))
    with pytest.raises(SystemExit):
        run_import(table, tmp_path / 'b.json')
    assert 'line 2: rle: ' in capsys.readouterr().err


@pytest.mark.parametrize(
    'column, cell, expected',
    [
        ('frame', '0.5', "line 2: frame: found '0.5'; expected a whole number"),
        ('frame', '٣', "line 2: frame: found '٣'"),
        ('video_width', '7', 'video_height, video_width: a video has one'),
        ('file_name', 'other.jpg', "is 'other.jpg' in another row; make them agree"),
        ('category', ' ', 'line 2: category: is empty'),
        ('crowd', 'yes', "line 2: crowd: found 'yes'"),
        ('rle', 'a,b', 'line 2: has more cells than the first line'),
        ('rle', 'a\0b', 'line 2: '),
    ],
)
def test_what_is_wrong_is_named(table, tmp_path, capsys, column, cell, expected):
    first, *rows = rows_of(table)
    row = next(row for row in rows if row[first.index('track_id')])
    whole = [*row]
    row[first.index(column)] = cell
    table.write_text('\n'.join(map(','.join, (first, row, whole))), encoding='utf-8')
    with pytest.raises(SystemExit):
        run_import(table, tmp_path / 'b.json')
    error = capsys.readouterr().err
    assert expected in error and 'unforeseen' not in error


def test_a_table_in_an_old_encoding(table, tmp_path, capsys):
    first, *rows = rows_of(table)
    save(table, (first, ['café', *rows[0][1:]]), encoding='latin-1')
    with pytest.raises(SystemExit):
        run_import(table, tmp_path / 'b.json')
    assert 'not UTF-8 (byte' in capsys.readouterr().err
