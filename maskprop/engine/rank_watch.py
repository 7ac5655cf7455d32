"""Several processes: when one dies or fails, the others end soon, and say which one it was."""

from __future__ import annotations

import datetime
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch.distributed as dist
from mmengine.dist import broadcast_object_list

DEFAULT = 50.0  # seconds: others end within a minute, and a long call that keeps the GIL is no death
_PORT = 'RANK_WATCH_PORT'


@contextmanager
def watch_ranks(seconds: float | None = DEFAULT, advice: str = '') -> Iterator[None]:
    """While the block runs, each process tells the others that it lives, and ends when one of them doesn't.

    A process that is killed, hangs as a whole (its node is gone, or it is stopped), or leaves the block by an
    error is named by all others in one line, and they end with exit status 1: within ``seconds``, and at once
    where it could still say its error. Without that they would wait in the next collective operation, for half an
    hour by default. The signs of life go over a connection of their own, whatever started the processes.

    Args:
        seconds: without a sign of life after which a process counts as dead; the config's ``rank_timeout``; None:
            nothing is watched.
        advice: what to do next, said after the line.
    """
    if seconds is None or not dist.is_initialized() or dist.get_world_size() == 1:
        yield
        return
    store = _connect(seconds)
    watch = _Watch(store, seconds, advice)
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    try:
        yield
        dist.barrier()  # the first process has the store: it must be the last to go
    except Exception as error:
        watch.explain(error)
        raise
    finally:
        watch.ended.set()
        thread.join()


def _connect(seconds: float) -> dist.TCPStore:
    """A store of this watch: process 0 holds it, on a free port."""
    rank, host = dist.get_rank(), os.environ.get('MASTER_ADDR', '127.0.0.1')
    timeout = datetime.timedelta(seconds=seconds)
    store, port = None, [0]
    if rank == 0:
        store = dist.TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=timeout)
        port = [store.port]
    broadcast_object_list(port)
    return store or dist.TCPStore(host, port[0], is_master=False, wait_for_workers=False, timeout=timeout)


class _Watch:
    def __init__(self, store: dist.TCPStore, seconds: float, advice: str, end: Callable[[int], None] = os._exit):
        self.store, self.seconds, self.advice, self.end = store, seconds, advice, end
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        self.ended = threading.Event()
        self.beat = min(seconds / 6, 2.0)
        self.names = [''] * self.ranks

    def run(self) -> None:
        """Until the block is left, or another process is gone."""
        heard: dict[int, tuple[bytes, float]] = {}
        count = 0
        while not self.ended.wait(self.beat):
            count += 1
            try:
                fault = self._look(count, heard)
            except Exception:  # the store is gone, and with it process 0
                fault = None if self.ended.wait(self.beat) else 'process 0, which others depend on, is gone'
            if fault and not self.ended.is_set():
                self._give_up(fault)
                return

    def _look(self, count: int, heard: dict[int, tuple[bytes, float]]) -> str | None:
        self.store.set(f'alive/{self.rank}', f'{count} {socket.gethostname()} pid {os.getpid()}')
        now = time.monotonic()
        for rank in range(self.ranks):
            if rank == self.rank:
                continue
            if self.store.check([f'failed/{rank}']):
                return f'process {rank} ended with an error: {self.store.get(f"failed/{rank}").decode()}'
            sign = self.store.get(f'alive/{rank}') if self.store.check([f'alive/{rank}']) else b''
            if heard.get(rank, (None, 0))[0] != sign:
                heard[rank] = sign, now
            elif now - heard[rank][1] > self.seconds:
                where = sign.decode().partition(' ')[2]
                return f'process {rank} ({where}) gave no sign of life for {self.seconds:g} s'
        return None

    def explain(self, error: Exception) -> None:
        """Before an error of this process is raised: tell the others; or wait to hear whose fault it was."""
        if 'Connection' in str(error) or 'gloo' in str(error) or 'NCCL' in str(error):
            self.ended.wait(self.seconds + 5 * self.beat)  # the watch ends this process when it knows
            return
        words = ' '.join(f'{type(error).__name__}: {error}'.split())
        try:
            self.store.set(f'failed/{self.rank}', words[:500])
            time.sleep(3 * self.beat)  # process 0 has the store: let the others read it
        except Exception:  # the store is gone: the others see that themselves
            return

    def _give_up(self, fault: str) -> None:
        print(f'\nprocess {self.rank}: error: {fault}. {self.advice}'.rstrip(), file=sys.stderr, flush=True)
        self.end(1)
