"""Where a tool ends: an error is one line on the terminal, the traceback of an unforeseen one is in a file."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskprop.utils import quiet
from maskprop.utils.errors import UserError
from maskprop.utils.files import remove_empty_folders
from maskprop.utils.text import escaped

#: The end of every tool's --help.
EVERY_TOOL = """
options of every command:
  --verbose             show all that libraries log and warn of (MASKPROP_VERBOSE=1 does the same)
  --debug               show the traceback of an error"""
_state: dict[str, Any] = dict(folder=None, debug=False)
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)  # of a disk


def log_to(folder: str | Path) -> None:
    """From now on tracebacks go to ``folder``, and not to that of temporary files."""
    _state['folder'] = Path(folder)


def run(function: Callable[..., Any], *args: Any) -> Any:
    """What ``function(*args)`` returns; the outermost call of a tool.

    Errors that say what the user can fix (:class:`~maskprop.utils.errors.UserError`, OSError) end in one line.
    All others end in one line too, that says so: they may be faults of the tool. Two options of the command line
    are taken out before ``function`` sees them: ``--debug`` lets every error through, with its traceback;
    ``--verbose`` shows what libraries log, which :mod:`maskprop.utils.quiet` keeps off the screen. At the end
    folders go that were made for files and stayed empty.

    Raises:
        SystemExit: with the exit status 1, after an error; 130 after Ctrl-C.
    """
    if _takes('--verbose'):
        os.environ[quiet.VERBOSE] = '1'
    _state['debug'] = _takes('--debug')
    if _state['debug']:
        with quiet.quiet_screen():
            return function(*args)
    try:
        with quiet.quiet_screen(), _ends_help():
            return function(*args)
    except BrokenPipeError:  # the reader of our output, such as head, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print(f'\n{tool()}: interrupted', file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        tell(error)
        raise SystemExit(1) from None
    finally:
        remove_empty_folders()


def tell(error: Exception) -> None:
    """Print an error in one line; the traceback of one that is no fault of the user's goes to a file.

    With ``--debug`` the traceback of any is printed. For errors that do not end the tool, as ``run`` does.
    """
    if _state['debug']:
        traceback.print_exception(error)
        return
    print(file=sys.stderr)  # ends the line of a progress bar
    if isinstance(error, (UserError, OSError)):
        say(error)
    else:
        say(f'{describe_unforeseen(error)}. Its traceback is {_keep_traceback(error)}; --debug shows it')


def say(error: Exception | str) -> None:
    """Print an error, or what it is in words, in one line: in names of files line breaks are escaped."""
    lines = error.args if isinstance(error, UserError) else (_with_place(error),)
    print(f'{tool()}: error: ' + '\n'.join(map(escaped, lines)), file=sys.stderr)


@contextmanager
def _ends_help() -> Iterator[None]:
    """Within, a --help ends with the options of every command."""
    try:
        yield
    except SystemExit as end:
        if not end.code and not {'-h', '--help'}.isdisjoint(sys.argv[1:]):
            print(EVERY_TOOL, flush=True)
        raise


def _with_place(error: Exception | str) -> str:
    """What an error says; of a full disk, where it names no file, with the folder of the training or test."""
    if isinstance(error, OSError) and error.errno in _FULL and error.filename is None and _state['folder']:
        return f'{_state["folder"]}: {error}'
    return str(error)


def _takes(option: str) -> bool:
    """Whether the command line has an option, which is taken out."""
    if found := option in sys.argv[1:]:
        sys.argv.remove(option)
    return found


def describe_unforeseen(error: Exception) -> str:
    """Kind, words and place of an error of which no tool knows what to do about it, in one line."""
    words = ' '.join(str(error).split()) or 'no message'
    words = words if len(words) <= 400 else f'{words[:397]}...'
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = getattr(error, 'place', None)
    where = f'{place}, ' if place else ''
    return f'unforeseen {type(error).__name__}: {words} ({where}{Path(last.filename).name}:{last.lineno})'


def _keep_traceback(error: Exception) -> str:
    name = f'{Path(tool()).stem.replace(" ", "_")}_error_{os.getpid()}.log'
    path = (_state['folder'] or Path(tempfile.gettempdir())) / name
    try:
        path.write_text(''.join(traceback.format_exception(error)), encoding='utf-8', errors='backslashreplace')
    except OSError as failed:
        return f'lost, as {path} cannot be written ({failed.strerror})'
    return f'in {path}'


def tool() -> str:
    """The name of what runs, for messages: ``maskprop train``, or of the script."""
    return Path(sys.argv[0]).name
