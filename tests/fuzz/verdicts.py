"""What a tool makes of a mutant."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from maskprop.utils import boundary
from maskprop.utils.errors import UserError

ACCEPTED, REFUSED = 'accepted', 'refused'
TRACEBACK, HANG, WRONG = 'BARE TRACEBACK', 'HANG', 'SILENT WRONG ACCEPTANCE'
BAD = (TRACEBACK, HANG, WRONG)
MOST_SECONDS = 20  # of the CPU
MOST_WAITING = 600  # by the clock: on a busy machine a sound mutant may wait a minute


class Hang(BaseException):
    """A mutant took too long."""


class WrongAcceptance(AssertionError):
    """The independent check does not agree with what was accepted."""


def verdict_of(read: Callable[[], Any], check: Callable[[Any], None] = lambda found: None) -> tuple[str, str]:
    """(verdict, words) of reading a mutant.

    Args:
        read: what a tool does with it; errors that are not for the user are faults, as they are to
            :func:`maskprop.utils.boundary.run`. check: raises :class:`WrongAcceptance` of what was accepted.
    """
    try:
        with quiet(), _limit():
            found = read()
    except Hang:
        return HANG, f'more than {MOST_SECONDS} s of CPU time, or {MOST_WAITING} s in all'
    except (UserError, OSError) as error:
        return (REFUSED if str(error).strip() else TRACEBACK), str(error)
    except SystemExit as end:
        return (REFUSED if end.code else ACCEPTED), ''
    except Exception as error:
        return TRACEBACK, boundary.describe_unforeseen(error)
    try:
        with quiet():
            check(found)
    except WrongAcceptance as error:
        return WRONG, str(error)
    except Exception as error:
        return WRONG, f'the independent check fails: {type(error).__name__}: {error}'
    return ACCEPTED, ''


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No output, no warnings."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield


@contextlib.contextmanager
def _limit() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise Hang

    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, MOST_SECONDS),
        signal.SIGALRM: (signal.ITIMER_REAL, MOST_WAITING),
    }
    before = {number: signal.signal(number, stop) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.stdout.flush()
