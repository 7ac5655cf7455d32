"""Commands of the package in forks of this process, which spares each the imports, and kills of them.

A fork is a process of its own, in a group of its own with all that it starts: data workers, and the commands that
a study starts, which are forks too. Only what Python does before a command's first line is left out.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LONGEST = 3600  # seconds by the clock
_CHANGES = {'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.symlink', 'os.link', 'os.truncate', 'os.utime'}
_TICK = 1 / os.sysconf('SC_CLK_TCK')
_run_before = subprocess.run


@dataclass
class Ended:
    """How a run ended.

    Attributes:
        killed: False: by itself, with exit status 0.
        changes: files and folders that it had made, moved, removed or opened for writing. cpu: its seconds of CPU
            time, with all that it started.
    """

    killed: bool
    changes: int
    cpu: float


def run(command: list[str], log: Path, at_change: int | None = None, at_cpu: float | None = None) -> Ended:
    """Run a script of ``tools/`` with its arguments; SIGKILL to its whole group at a moment of its own progress.

    Args:
        command: the script, relative to the checkout, and its arguments.
        log: gets its output.
        at_change: kill right before the change of this number, from 1.
        at_cpu: kill after these seconds of CPU time.
    """
    count = mmap.mmap(-1, 8)
    pid = os.fork()
    if not pid:
        _do(lambda: _script(command, log, count, at_change))
    deadline = time.monotonic() + LONGEST
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            break
        if (at_cpu is not None and _cpu_of_group(pid) >= at_cpu) or time.monotonic() > deadline:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.02)
    if killed := os.WIFSIGNALED(status):
        _end_group(pid)
        assert time.monotonic() < deadline, f'{command}: hangs'
    assert killed or os.WEXITSTATUS(status) == 0, log.read_text(errors='replace')[-3000:]
    return Ended(killed, int.from_bytes(count, 'little'), used.ru_utime + used.ru_stime)


def apart(function: Callable[[], Any]) -> Any:
    """What a function returns, computed in a fork: this process stays without threads, and can be forked."""
    from multiprocessing import Pipe

    reader, writer = Pipe(duplex=False)
    pid = os.fork()
    if not pid:
        _do(lambda: writer.send(function()))
    writer.close()
    try:
        found = reader.recv()
    except EOFError:
        found = None
    assert os.waitpid(pid, 0)[1] == 0, 'failed, see above'
    return found


def _do(function: Callable[[], Any]) -> None:
    """In a fork: call it and end, with its exit status."""
    code = 0
    try:
        function()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _script(command: list[str], log: Path, count: mmap.mmap, at_change: int | None) -> None:
    os.setsid()
    with log.open('ab') as file:
        _redirect(file.fileno())
    os.chdir(ROOT)
    subprocess.run = _fork_commands
    sys.addaudithook(lambda event, args: _count_changes(event, args, count, at_change))
    sys.argv = command
    runpy.run_path(str(ROOT / command[0]), run_name='__main__')


def _redirect(file: int) -> None:
    for number in (1, 2):
        os.dup2(file, number)
    sys.stdout, sys.stderr = (os.fdopen(number, 'w', closefd=False) for number in (1, 2))


def _count_changes(event: str, args: tuple, count: mmap.mmap, at_change: int | None) -> None:
    if event == 'open':
        path, _, flags = args
        if not (flags or 0) & (os.O_WRONLY | os.O_RDWR) or str(path).startswith(('/dev/', '/proc/')):
            return
    elif event not in _CHANGES:
        return
    number = int.from_bytes(count, 'little') + 1
    count[:] = number.to_bytes(8, 'little')
    if number == at_change:
        os.killpg(0, signal.SIGKILL)


def _fork_commands(command: list[str], **options: Any) -> subprocess.CompletedProcess:
    """In place of ``subprocess.run``: ``python -m maskprop NAME ...`` is done by a fork."""
    words = [word for word in command[1:] if word != '-u'] if command[0] == sys.executable else []
    if words[:2] != ['-m', 'maskprop']:
        return _run_before(command, **options)
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        _do(lambda: _command(words[2:], **options))
    return subprocess.CompletedProcess(command, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _command(
    words: list[str], env: dict[str, str], stdout: Any = None, stderr: Any = None, preexec_fn: Any = None
) -> None:
    from maskprop.commands import main

    os.environ.clear()
    os.environ.update(env)
    if stdout is not None:
        _redirect(stdout.fileno())
    if preexec_fn is not None:
        preexec_fn()
    sys.argv = ['maskprop', *words]
    main()


def _group(leader: int) -> list[list[str]]:
    """The fields of ``/proc/PID/stat`` after the name, of each process of a group."""
    found, waiting = [], [leader]
    while waiting:
        number = waiting.pop()
        try:
            fields = Path(f'/proc/{number}/stat').read_text().rpartition(')')[2].split()
            for task in Path(f'/proc/{number}/task').iterdir():
                waiting += map(int, (task / 'children').read_text().split())
        except OSError:  # ended
            continue
        if int(fields[2]) == leader and fields[0] != 'Z':
            found.append(fields)
    return found


def _cpu_of_group(leader: int) -> float:
    return sum(int(value) for fields in _group(leader) for value in fields[11:15]) * _TICK


def _end_group(leader: int) -> None:
    """See that nothing of it is left."""
    with contextlib.suppress(ProcessLookupError):
        for _ in range(500):  # not for ever: what nobody waits for stays as a zombie
            os.killpg(leader, signal.SIGKILL)
            time.sleep(0.01)
