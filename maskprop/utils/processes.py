"""Processes, how they are started, and which one this is, before torch is imported."""

from __future__ import annotations

import os
from pathlib import Path

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')  # of several processes: torchrun, srun, mpirun
_RANKS = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')  # where these say which process it is
_SIZES = ('WORLD_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE')  # and how many there are


def child_environment() -> dict[str, str]:
    """The environment of a process that runs a command: this one's, and this copy of maskprop comes first."""
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, [root, os.environ.get('PYTHONPATH')]))}


def is_first_process() -> bool:
    """Whether this is the first of several processes that a launcher has started, or the only one."""
    return next((os.environ[name] for name in _RANKS if os.environ.get(name)), '0') == '0'


def count_processes() -> int:
    """How many processes a launcher has started; 1 without one."""
    found = next((os.environ[name] for name in _SIZES if os.environ.get(name)), '1')
    return int(found) if found.isdigit() else 1


def say(text: str) -> None:
    """Print it, once for all processes."""
    if is_first_process():
        print(text, flush=True)
