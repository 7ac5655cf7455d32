"""What a tool leaves off the screen, and progress where there is no terminal."""

from __future__ import annotations

import io
import logging
import sys
import threading
import types
import warnings

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner.checkpoint import _load_checkpoint

from maskprop.engine.deprecation import telling_of_old_configs
from maskprop.utils import boundary, progress, quiet

OURS = """
import warnings
from mmengine.logging import MMLogger, print_log

def speak(who):
    warnings.warn(f'{who} warns', stacklevel=2)
    warnings.warn(f'{who} will change', FutureWarning, stacklevel=2)
    MMLogger.get_current_instance().info(f'{who} logs')
    print_log(f'{who} is afraid', 'current', logging.WARNING)
"""


def module(file: str) -> types.ModuleType:
    """A module that warns and logs, in a file of that name."""
    made = types.ModuleType('speaker')
    made.logging = logging
    exec(compile(OURS, file, 'exec'), made.__dict__)
    return made


@pytest.fixture
def log(tmp_path, monkeypatch):
    """A log file, of a logger that is made while the screen is quiet."""
    monkeypatch.delenv(quiet.VERBOSE, raising=False)
    monkeypatch.setattr(MMLogger, '_instance_dict', type(MMLogger._instance_dict)())
    return tmp_path / 'run.log'


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, 'No space left on device')


def test_a_log_that_cannot_be_written_is_one_warning(log, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/some.py'])

    def fill() -> None:
        with quiet.quiet_imports():
            pass
        logger = MMLogger.get_instance(f'full {log}', log_file=str(log))
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.setStream(Full())
        logger.info('one')
        logger.info('two')

    boundary.run(fill)
    said = capsys.readouterr().err
    assert said == f'warning: log {log} cannot be written ([Errno 28] No space left on device)\n'


def test_which_checkpoint_is_loaded_goes_to_the_log(log, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/some.py'])
    torch.save(dict(state_dict={}), tmp_path / 'weights.pth')

    def load() -> None:
        with quiet.quiet_imports():
            pass
        logger = MMLogger.get_instance(f'loading {log}', log_file=str(log))
        _load_checkpoint(str(tmp_path / 'weights.pth'))
        for handler in logger.handlers:
            handler.flush()

    boundary.run(load)
    assert not capsys.readouterr().out and 'Loads checkpoint by local backend' in log.read_text()
    _load_checkpoint(str(tmp_path / 'weights.pth'))  # outside of a tool mmengine prints it as before
    assert 'Loads checkpoint by local backend' in capsys.readouterr().out


def talk(log) -> None:
    with quiet.quiet_imports():
        print('could not import this and that')
    logger = MMLogger.get_instance(f'quiet {log}', log_file=str(log))
    module('/venv/lib/python3.11/site-packages/mmdet/speaker.py').speak('library')
    module('/home/me/project/speaker.py').speak('user')
    module(boundary.__file__).speak('maskprop')
    logger.info('timing', extra=quiet.FILE_ONLY)
    for handler in logger.handlers:
        handler.flush()


def test_libraries_are_silent_and_others_are_heard(log, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/some.py'])
    with pytest.warns(UserWarning) as shown:
        boundary.run(talk, log)
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f'{mark}{who} {does}'
        for who in ('user', 'maskprop')
        for mark, does in (('', 'logs'), ('warning: ', 'is afraid'))
    ]
    assert [str(warning.message) for warning in shown] == ['user warns', 'maskprop warns']
    text = log.read_text()
    assert all(f'INFO - {who} logs' in text for who in ('library', 'user', 'maskprop')) and 'INFO - timing' in text
    assert 'WARNING' in text and 'library is afraid' in text
    assert not quiet.is_quiet()


def test_a_library_that_a_config_imports_is_silent(monkeypatch):
    monkeypatch.delenv(quiet.VERBOSE, raising=False)

    def read_config():
        with telling_of_old_configs():
            module('/venv/lib/python3.11/site-packages/mmdet/speaker.py').speak('library')
            module('/home/me/project/speaker.py').speak('user')

    monkeypatch.setattr(sys, 'argv', ['tools/some.py'])
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter('always')
        boundary.run(read_config)
    assert [str(warning.message) for warning in shown] == ['user warns']


def test_verbose_shows_all(log, capsys, monkeypatch):
    monkeypatch.setenv(quiet.VERBOSE, '')  # put back at the end
    monkeypatch.setattr(sys, 'argv', ['tools/some.py', '--verbose', 'more'])
    with pytest.warns(UserWarning, match='library warns'):
        boundary.run(talk, log)
    said = capsys.readouterr().out
    assert 'could not import' in said and 'library logs' in said and 'library is afraid' in said
    assert sys.argv == ['tools/some.py', 'more']


def test_other_processes_say_nothing(log, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    monkeypatch.setattr(sys, 'argv', ['tools/some.py'])
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter('always')
        boundary.run(lambda: warnings.warn('mend it', stacklevel=1))
        monkeypatch.setenv('RANK', '0')
        boundary.run(lambda: warnings.warn('mend this', stacklevel=1))
    assert [str(warning.message) for warning in shown] == ['mend this']


def test_a_warning_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['tools/some.py'])
    with warnings.catch_warnings():
        warnings.showwarning = lambda *words: print(warnings.formatwarning(*words[:4]), end='')
        boundary.run(lambda: warnings.warn('mend it', stacklevel=1))
    assert capsys.readouterr().out == 'warning: mend it\n'


def test_a_log_file_gets_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress, 'INTERVAL', 0)
    assert list(progress.progress_bar(range(3), desc='work', unit='frame')) == [0, 1, 2]
    said = capsys.readouterr().err
    assert [line.partition(' [')[0] for line in said.splitlines()] == [f'work: {n}/3 frame' for n in (1, 2, 3)]
    assert '\r' not in said
    monkeypatch.setattr(progress, 'INTERVAL', 60)
    list(progress.progress_bar(range(7), desc='work', unit='frame', every=3))
    said = capsys.readouterr().err
    assert [line.partition(' [')[0] for line in said.splitlines()] == [f'work: {n}/7 frame' for n in (3, 6, 7)]
    list(progress.progress_bar(range(3), desc='work', unit='frame'))
    list(progress.progress_bar(range(3), desc='hidden', leave=False))
    list(progress.progress_bar(range(3), desc='hidden', delay=60))
    (line,) = capsys.readouterr().err.splitlines()  # the last state alone
    assert line.startswith('work: 3/3 frame')


def test_a_bar_in_a_log_file_starts_no_thread():
    # tqdm's would show each step once ten seconds passed without a line, and each bar's would stay
    threads = threading.active_count()
    list(progress.progress_bar(range(3), desc='work'))
    assert threading.active_count() == threads


def test_every_help_names_the_options_of_all(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['maskprop some', '--help'])
    with pytest.raises(SystemExit):
        boundary.run(sys.exit, 0)
    printed = capsys.readouterr().out
    assert '--verbose' in printed and '--debug' in printed
