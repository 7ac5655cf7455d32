"""What comes on screen while a tool runs: what this project and the user's own code say, not what libraries log.

:func:`maskprop.utils.boundary.run` makes the screen quiet, for every tool; ``--verbose`` leaves it as libraries
have it. From Python nothing changes. Log files are always complete.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maskprop.utils.processes import is_first_process
from maskprop.utils.progress import on_terminal
from maskprop.utils.text import escaped

#: Set by ``--verbose``, for the processes that a tool starts too.
VERBOSE = 'MASKPROP_VERBOSE'
#: Of a record of the log: for the log file, not for the screen.
FILE_ONLY = dict(file_only=True)
_PACKAGE = str(Path(__file__).resolve().parents[1])
_STANDARD_LIBRARY = sysconfig.get_path('stdlib')
# modules between who says something and the screen
_CHANNELS = ('warnings', '_py_warnings', 'logging', 'mmengine.logging', 'maskprop.engine.deprecation', __name__)
_state: dict[str, contextlib.ExitStack | None] = dict(stack=None)


def is_quiet() -> bool:
    """Whether what libraries say stays off the screen."""
    return _state['stack'] is not None


@contextlib.contextmanager
def quiet_screen() -> Iterator[None]:
    """Within, libraries say nothing on screen, unless the environment has ``MASKPROP_VERBOSE``."""
    if is_quiet() or os.environ.get(VERBOSE):
        yield
        return
    os.environ.setdefault('TORCH_CPP_LOG_LEVEL', 'ERROR')
    with contextlib.ExitStack() as stack, warnings.catch_warnings():
        _quiet_warnings(stack)
        _state['stack'] = stack
        try:
            yield
        finally:
            _state['stack'] = None


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Around the imports of mmdet, which print what is not installed; from here mmengine's loggers are quiet."""
    if not is_quiet():
        yield
        return
    _quiet_loggers()
    with contextlib.redirect_stdout(io.StringIO()):
        _log_checkpoints()
        yield


def say_on_screen(text: str) -> None:
    """Print a line, above a progress bar if there is one."""
    if on_terminal():
        from tqdm import tqdm

        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()
    else:
        print(text, flush=True)


def _quiet_warnings(stack: contextlib.ExitStack) -> None:
    """Let warnings that a user can act on, and no others, be shown: once, without the line of code."""
    show = warnings.showwarning

    def show_ours(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, UserWarning) and is_first_process() and not _said_by_library():
            show(message, category, *place, **options)

    stack.callback(setattr, warnings, 'formatwarning', warnings.formatwarning)
    warnings.formatwarning = lambda message, *_, **__: f'warning: {escaped(message)}\n'
    warnings.showwarning = show_ours


class _Screen(logging.Handler):
    """In place of a logger's own stream."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR and (getattr(record, 'file_only', False) or _said_by_library()):
            return
        mark = f'{record.levelname.lower()}: ' if record.levelno > logging.INFO else ''
        say_on_screen(mark + record.getMessage())


def _quiet_loggers() -> None:
    """Let mmengine's loggers, also those to come, write to a :class:`_Screen`, until the tool ends."""
    from mmengine.logging import MMLogger

    stack, original = _state['stack'], MMLogger.__init__
    if stack is None or getattr(original, 'is_quiet', False):
        return

    def __init__(self: MMLogger, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        _replace_streams(self)

    __init__.is_quiet = True  # type: ignore[attr-defined]
    MMLogger.__init__ = __init__
    stack.callback(setattr, MMLogger, '__init__', original)
    for logger in MMLogger._instance_dict.values():
        stack.callback(setattr, logger, 'handlers', list(logger.handlers))
        _replace_streams(logger)


def _log_checkpoints() -> None:
    """Let mmengine log which checkpoint it reads, where it would print that past the log, until the tool ends."""
    from mmengine.runner import checkpoint

    stack, original = _state['stack'], checkpoint.print_log
    if stack is None or getattr(original, 'is_quiet', False):
        return

    def print_log(msg: Any, logger: Any = None, level: int = logging.INFO) -> None:
        original(msg, 'current' if logger is None and level == logging.INFO else logger, level)

    print_log.is_quiet = True  # type: ignore[attr-defined]
    checkpoint.print_log = print_log
    stack.callback(setattr, checkpoint, 'print_log', original)


def _replace_streams(logger: logging.Logger) -> None:
    for place, handler in enumerate(logger.handlers):
        if type(handler) is logging.StreamHandler:
            logger.handlers[place] = screen = _Screen(handler.level)
            screen.filters = handler.filters
        elif isinstance(handler, logging.FileHandler):
            handler.handleError = _LogLost(handler.baseFilename)  # type: ignore[method-assign]


class _LogLost:
    """In place of the traceback of each line that a log file can't take, as on a full disk: a warning, once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._told = False

    def __call__(self, record: logging.LogRecord) -> None:
        if not self._told:
            self._told = True
            print(f'warning: log {self.file} cannot be written ({sys.exc_info()[1]})', file=sys.stderr)


def _said_by_library() -> bool:
    """Whether it is a library that has just warned or logged."""
    frame = sys._getframe()
    while frame.f_back and frame.f_globals.get('__name__', '').startswith(_CHANNELS):
        frame = frame.f_back
    file = frame.f_code.co_filename
    if file.startswith(_PACKAGE):
        return False
    installed = {'site-packages', 'dist-packages'}.intersection(Path(file).parts)
    return bool(installed) or file.startswith(_STANDARD_LIBRARY)
