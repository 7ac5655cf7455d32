"""A folder is held by one process; a dead holder's lock is taken over."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from maskprop.ablation import lock
from maskprop.ablation.lock import hold_folder


def write_lock(folder, host: str, pid: int, age: float = 0.0, worked: float = 50.0) -> None:
    folder.mkdir(exist_ok=True)
    beat = time.time() - age
    (folder / 'lock').write_text(json.dumps(dict(host=host, pid=pid, started=beat - worked)))
    os.utime(folder / 'lock', (beat, beat))


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, '-c', ''])
    process.wait()
    return process.pid


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
    write_lock(tmp_path, socket.gethostname(), dead_process())
    said = []
    with hold_folder(tmp_path, said.append) as spent:
        assert json.loads((tmp_path / 'lock').read_text())['pid'] == os.getpid()
    assert spent == pytest.approx(50, abs=0.1)
    assert 'taken over' in said[0] and not list(tmp_path.iterdir())


@pytest.mark.parametrize('age, stale', [(lock.STALE + 60, True), (lock.STALE - 60, False)])
def test_lock_of_another_machine_is_stale_without_signs_of_life(tmp_path, age, stale):
    write_lock(tmp_path, 'elsewhere', 1, age=age)
    holder = json.loads((tmp_path / 'lock').read_text())
    assert lock._is_stale(tmp_path / 'lock', holder) is stale


def test_lock_of_a_reused_process_number_is_stale_without_signs_of_life(tmp_path):
    for age, stale in ((lock.STALE + 60, True), (lock.STALE - 60, False)):
        write_lock(tmp_path, socket.gethostname(), os.getpid(), age=age)
        holder = json.loads((tmp_path / 'lock').read_text())
        assert lock._is_stale(tmp_path / 'lock', holder) is stale


def test_lock_that_another_one_took_over_is_left(tmp_path):
    with hold_folder(tmp_path):
        write_lock(tmp_path, 'elsewhere', 1)
    assert json.loads((tmp_path / 'lock').read_text())['host'] == 'elsewhere'


def test_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, 'BEAT', 0.02)
    with hold_folder(tmp_path):
        os.utime(tmp_path / 'lock', (0, 0))
        time.sleep(0.3)
        assert (tmp_path / 'lock').stat().st_mtime > 0


def test_a_new_lock_is_not_removed_as_stale(tmp_path):
    """Two find a stale lock; the one that is slower must not remove the lock that the other one made instead."""
    write_lock(tmp_path, socket.gethostname(), dead_process())
    found = json.loads((tmp_path / 'lock').read_text())
    write_lock(tmp_path, socket.gethostname(), os.getpid(), worked=1)  # by now the other one's
    assert lock._remove_stale(tmp_path / 'lock', found) == 0
    assert json.loads((tmp_path / 'lock').read_text())['pid'] == os.getpid()


def test_one_of_many_holds_it(tmp_path):
    write_lock(tmp_path, socket.gethostname(), dead_process())
    inside, most = [], []

    def work() -> None:
        with hold_folder(tmp_path, lambda text: None, poll=0.001):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.005)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8
