"""Processes, and how they are started."""

from __future__ import annotations

import os
from pathlib import Path

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')  # of several processes: torchrun, srun, mpirun


def child_environment() -> dict[str, str]:
    """The environment of a process that runs a command: this one's, and this copy of maskprop comes first."""
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, [root, os.environ.get('PYTHONPATH')]))}
