"""A folder is held by one process; a dead holder's lock is taken over."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from maskprop.utils import folder_lock
from maskprop.utils.folder_lock import FolderInUse, hold_folder


def leave_lock(folder, worked: float) -> None:
    """What a process that died leaves behind."""
    folder.mkdir(exist_ok=True)
    (folder / 'lock').write_text(json.dumps(dict(host='elsewhere', pid=17, started=time.time() - worked)))


def test_second_waits_for_the_first(tmp_path):
    order, said = [], []

    def second() -> None:
        with hold_folder(tmp_path, said.append, poll=0.01):
            order.append('second')

    with hold_folder(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append('first')
    thread.join()
    assert order == ['first', 'second'] and not list(tmp_path.iterdir())
    assert len(said) == 1 and str(os.getpid()) in said[0] and socket.gethostname() in said[0]


def test_lock_of_a_dead_process_is_taken_over_with_its_time(tmp_path):
    leave_lock(tmp_path, worked=50)
    said = []
    with hold_folder(tmp_path, said.append) as spent:
        assert json.loads((tmp_path / 'lock').read_text())['pid'] == os.getpid()
    assert spent == pytest.approx(50, abs=0.1)
    assert 'taken over from process 17 on elsewhere' in said[0] and not list(tmp_path.iterdir())


def test_lock_that_its_holder_had_not_written_is_taken(tmp_path):
    (tmp_path / 'lock').touch()
    with hold_folder(tmp_path) as spent:
        assert spent == 0


def hang(folder):
    """What a process that is stopped leaves: the lock is held, and nobody gives signs of life."""
    leave_lock(folder, worked=5)
    file = (folder / 'lock').open('a+')
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def test_a_holder_without_signs_of_life_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, 'SILENT', 0.2)
    said = []
    with hang(tmp_path), pytest.raises(FolderInUse, match='lock: held by process 17 on elsewhere, without a sign'):
        with hold_folder(tmp_path, said.append, poll=0.01):
            pytest.fail('two hold it')
    assert len(said) == 1 and 'waiting' in said[0]


def test_a_holder_with_signs_of_life_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, 'SILENT', 0.5)
    with hang(tmp_path) as file:
        holding = time.monotonic()

        def beat() -> None:
            while time.monotonic() < holding + 1.5:
                os.utime(tmp_path / 'lock')
                time.sleep(0.01)
            fcntl.flock(file, fcntl.LOCK_UN)

        thread = threading.Thread(target=beat)
        thread.start()
        with hold_folder(tmp_path, lambda _: None, poll=0.01):
            assert time.monotonic() > holding + 1.5
        thread.join()


@pytest.mark.xdist_group('processes')
def test_lock_of_a_killed_process_is_released(tmp_path):
    code = (
        'import sys, time; from pathlib import Path; from maskprop.utils.folder_lock import hold_folder\n'
        'with hold_folder(Path(sys.argv[1])): print("held", flush=True); time.sleep(60)'
    )
    process = subprocess.Popen([sys.executable, '-c', code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'held\n'
    said = []

    def kill_soon() -> None:
        while not said:  # until the other one is waited for
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)

    thread = threading.Thread(target=kill_soon)
    thread.start()
    with hold_folder(tmp_path, said.append, poll=0.01):
        assert process.wait() == -signal.SIGKILL
    thread.join()
    assert [str(process.pid) in text for text in said] == [True, True]


def test_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, 'BEAT', 0.02)
    with hold_folder(tmp_path):
        os.utime(tmp_path / 'lock', (0, 0))
        time.sleep(0.3)
        assert (tmp_path / 'lock').stat().st_mtime > 0


@pytest.mark.parametrize('left_over', [False, True])
def test_one_of_many_holds_it(tmp_path, left_over):
    if left_over:
        leave_lock(tmp_path, worked=50)
    inside, most, spent = [], [], []

    def work() -> None:
        for _ in range(20):
            with hold_folder(tmp_path, lambda text: None, poll=0.0005) as seconds:
                inside.append(1)
                most.append(len(inside))
                spent.append(seconds)
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 160
    assert sum(s > 0 for s in spent) == left_over  # the time of the dead is counted once
