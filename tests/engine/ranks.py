"""Several processes without starting Python anew for each."""

from __future__ import annotations

import functools
import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskprop.evaluation.kernels import uses_numba
from maskprop.evaluation.rle import decode_masks


def run_ranks(function: Callable, *args: Any, folder: Path, ranks: int = 2, timeout: float = 240) -> None:
    """Call ``function(*args)`` in forked processes whose environment is that of torchrun.

    Raises:
        AssertionError: one of them failed; with its traceback.
    """
    _load_what_all_need()
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context('fork')
    logs = [folder / f'rank_{rank}_error.txt' for rank in range(ranks)]
    processes = [
        context.Process(target=_run, args=(function, args, rank, ranks, port, logs[rank])) for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout)
    alive = [process for process in processes if process.is_alive()]
    for process in alive:
        process.kill()
    errors = [log.read_text() for log in logs if log.exists()]
    assert not errors and not alive, '\n'.join(errors) or f'{len(alive)} processes did not end in {timeout} s'


@functools.cache
def _load_what_all_need() -> None:
    """Import and compile here, once, what each process would load for itself."""
    import setuptools  # noqa: F401  imported when mmengine describes the environment

    case = ([['21']], 1, (1, 3), np.ones(1, dtype=bool))
    decode_masks(*case, use_numba=uses_numba('auto'))


def _run(function: Callable, args: tuple, rank: int, ranks: int, port: int, log: Path) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(ranks),
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    try:
        function(*args)
    except BaseException:
        log.write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)  # without pytest's own clean-up
