from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from maskprop.utils import boundary
from maskprop.utils.files import (
    check_writable,
    fill_when_done,
    is_file,
    name_in_errors,
    replace_when_done,
    unique_names,
)


@pytest.mark.parametrize(
    'names, expected',
    [
        (['a', 'b'], ['a', 'b']),
        (['a', 'a', 'A', 'a_2'], ['a', 'a_2', 'A_3', 'a_2_2']),
        (['..', '.', '', '/etc/x', '../y', '.hidden'], ['_', '__2', '__3', '_etc_x', '_y', 'hidden']),
        (['a/b', 'a\\b', 'a\0b'], ['a_b', 'a_b_2', 'a_b_3']),
        (['é' * 300, 'é' * 300], ['é' * 100, 'é' * 100 + '_2']),
        (['a\udc80'], ['a?']),
    ],
)
def test_unique_names(names, expected, tmp_path):
    found = unique_names(names)
    assert found == expected
    for name in found:
        (tmp_path / f'{name}.mp4').touch(exist_ok=False)
    assert len(list(tmp_path.iterdir())) == len(names)


@pytest.mark.parametrize('name', ['a' * 300, 'a\0b'], ids=['long', 'null'])
def test_a_name_that_no_file_can_have_is_no_file(tmp_path, name):
    assert not is_file(tmp_path / name)


def test_errors_of_the_disk_name_the_file_and_keep_the_old_one(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('old')
    with pytest.raises(OSError, match="a.json'$"), replace_when_done(path) as temporary:
        temporary.write_text('new')
        raise OSError(28, os.strerror(28))
    assert path.read_text() == 'old' and len(list(tmp_path.iterdir())) == 1


def test_files_that_agree_are_replaced_together(tmp_path):
    for name in 'ab':
        (tmp_path / name).write_text('old')
    with pytest.raises(OSError, match='b'), ExitStack() as stack:
        for name in 'ab':
            temporary = stack.enter_context(replace_when_done(tmp_path / name))
            temporary.write_text('new')
        raise OSError(28, os.strerror(28))
    assert [(tmp_path / name).read_text() for name in 'ab'] == ['old', 'old']


@pytest.mark.parametrize('fails', ['a folder in the way', 'a file in the way', 'rename', 'ctrl-c'])
def test_a_folder_is_filled_whole_or_not_at_all(tmp_path, monkeypatch, fails):
    folder = tmp_path / 'out'
    for name in ('a', 'deep/b', 'stays'):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('old')
    if fails == 'a folder in the way':
        (folder / 'z').mkdir()
    elif fails == 'a file in the way':
        (folder / 'z').write_text('old')
    error = KeyboardInterrupt if fails == 'ctrl-c' else OSError
    before = {str(path.relative_to(folder)): path.is_file() and path.read_text() for path in folder.rglob('*')}
    moves, replace = [], os.replace

    def move(source, target) -> None:
        moves.append(target)
        if len(moves) == 5 and fails in ('rename', 'ctrl-c'):
            raise error(28, os.strerror(28))
        replace(source, target)

    monkeypatch.setattr('maskprop.utils.files.os.replace', move)
    with pytest.raises(error), fill_when_done(folder) as unfinished:
        for name in ('a', 'deep/b', 'z/c' if fails == 'a file in the way' else 'z'):
            (unfinished / name).parent.mkdir(exist_ok=True)
            (unfinished / name).write_text('new')
    after = {str(path.relative_to(folder)): path.is_file() and path.read_text() for path in folder.rglob('*')}
    assert after == before and moves
    monkeypatch.undo()
    with fill_when_done(folder) as unfinished:
        (unfinished / 'a').write_text('new')
    assert [(folder / name).read_text() for name in ('a', 'deep/b', 'stays')] == ['new', 'old', 'old']
    assert not [path for path in folder.iterdir() if path.name.startswith('.')]


def test_what_is_read_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.json').write_text('old')
    (tmp_path / 'link.json').symlink_to('a.json')
    for out in ('a.json', './a.json', tmp_path / 'link.json'):
        with pytest.raises(FileExistsError, match='--out .*json: is read by this command'):
            check_writable(out, '--out', sources=(None, tmp_path / 'a.json'))
    check_writable('b.json', '--out', sources=(None, 'a.json'))


def test_an_error_with_words_of_its_own_keeps_them(tmp_path):
    with pytest.raises(OSError, match='^the disk of a.txt is full$'), name_in_errors(tmp_path / 'b.txt'):
        raise OSError('the disk of a.txt is full')
    with pytest.raises(OSError, match=r'^\[Errno 28\] full: .*b.txt'), name_in_errors(tmp_path / 'b.txt'):
        raise OSError(28, 'full')


def test_folders_that_a_failing_tool_made_and_left_empty_go(tmp_path, capsys):
    (tmp_path / 'old').mkdir()

    def fail() -> None:
        check_writable(tmp_path / 'new/folder', '--out', folder=True)
        check_writable(tmp_path / 'other/a.json', '--out')
        check_writable(tmp_path / 'old', '--out', folder=True)
        check_writable(tmp_path / 'kept/inner', '--out', folder=True)
        (tmp_path / 'kept/b.json').write_text('1')
        with fill_when_done(tmp_path / 'filled'):
            raise FileNotFoundError('c.json: no such file')

    with pytest.raises(SystemExit):
        boundary.run(fail)
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['b.json', 'kept', 'old']
    assert 'c.json: no such file' in capsys.readouterr().err
    boundary.run(lambda: check_writable(tmp_path / 'new', '--out', folder=True) or 1)  # a status, no exception
    assert not (tmp_path / 'new').exists()
